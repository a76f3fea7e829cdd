//! Which topics a pattern wants: the table of the documentation, token by token.

/// Whether `pattern` wants `topic`: `*` stands for one token, a last `>` for one or more; neither
/// stands for a first token that begins with `$`.
#[must_use]
pub fn wants(pattern: &str, topic: &str) -> bool {
    let hidden = topic.starts_with('$');
    let mut tokens = topic.split('.');
    for (at, want) in pattern.split('.').enumerate() {
        let Some(token) = tokens.next() else { return false };
        match want {
            ">" => return at > 0 || !hidden,
            "*" if at > 0 || !hidden => {}
            _ if want == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// Whether that is a topic at all: tokens between dots, none empty, none a wildcard.
#[must_use]
pub fn is_topic(topic: &str) -> bool {
    topic.split('.').all(|token| !token.is_empty() && token != "*" && token != ">")
}
