//! Which topics a pattern wants. Written from the documentation, not from the product.

/// Whether `pattern` wants `topic`: `*` stands for one token, a last `>` for one or more; neither
/// stands for a first token that begins with `$`.
pub(super) fn wants(pattern: &str, topic: &str) -> bool {
    let (wanted, tokens): (Vec<&str>, Vec<&str>) =
        (pattern.split('.').collect(), topic.split('.').collect());
    for (at, want) in wanted.iter().enumerate() {
        let Some(token) = tokens.get(at) else { return false };
        let hidden = at == 0 && token.starts_with('$');
        match *want {
            ">" => return !hidden,
            "*" if !hidden => {}
            literal if literal == *token => {}
            _ => return false,
        }
    }
    wanted.len() == tokens.len()
}

#[cfg(test)]
mod tests {
    use super::wants;

    #[test]
    fn patterns_want_what_the_documentation_says() {
        for (pattern, topic, wanted) in [
            ("a.b", "a.b", true),
            ("a.b", "a", false),
            ("a", "a.b", false),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            ("a.>", "a", false),
            ("a.>", "a.b.c", true),
            (">", "a.b", true),
            (">", "$PB.dead.a", false),
            ("*.dead", "$PB.dead", false),
            ("$PB.>", "$PB.dead.a", true),
        ] {
            assert_eq!(wants(pattern, topic), wanted, "{pattern} {topic}");
        }
    }
}
