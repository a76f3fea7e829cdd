//! What the host counts, in the text format of Prometheus (version 0.0.4).

use std::fmt::Write as _;

use patchbay_host::view::{MeasureKind, MeasureView};

/// The format's content type.
pub(crate) const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes measures, of which those of one name stand together.
pub(crate) fn text(measures: &[MeasureView]) -> String {
    let mut text = String::new();
    let mut last = "";
    for measure in measures {
        let (kind, ending) = match measure.kind {
            MeasureKind::Counter => ("counter", "_total"),
            MeasureKind::Gauge => ("gauge", ""),
        };
        let name = format!("{}{ending}", measure.name.replace('.', "_"));
        // Writing to a string cannot fail.
        if measure.name != last {
            let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", measure.help);
            last = &measure.name;
        }
        text.push_str(&name);
        for (at, (label, value)) in measure.attributes.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let _ = write!(text, "{before}{}=\"{}\"", label.replace('.', "_"), escaped(value));
        }
        let close = if measure.attributes.is_empty() { "" } else { "}" };
        let _ = writeln!(text, "{close} {}", measure.value);
    }
    text
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_explained_once_and_labels_are_quoted() {
        let measure = |attributes: &[(&str, &str)], value| MeasureView {
            name: "patchbay.seen".to_owned(),
            kind: MeasureKind::Counter,
            help: "Things seen".to_owned(),
            attributes: attributes.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            value,
        };
        let text = text(&[measure(&[("a.b", "x\"y\\z\n")], 1), measure(&[], u64::MAX)]);
        assert_eq!(
            text,
            "# HELP patchbay_seen_total Things seen\n# TYPE patchbay_seen_total counter\n\
             patchbay_seen_total{a_b=\"x\\\"y\\\\z\\n\"} 1\npatchbay_seen_total 18446744073709551615\n"
        );
    }
}
