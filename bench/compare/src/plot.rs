//! Plots: bars for contenders, lines for growth. Plain SVG, readable on light and dark.

use std::fmt::Write;

use crate::table::Row;

const WIDTH: f64 = 720.0;
const LABEL: f64 = 150.0;
const BAR: f64 = 18.0;
const GAP: f64 = 6.0;
const HEAD: f64 = 40.0;
const OURS: &str = "#c2410c";
const THEIRS: &str = "#64748b";

/// Ratios of one contest as horizontal bars.
pub(crate) fn bars(title: &str, rows: &[Row]) -> String {
    let most = rows.iter().filter_map(|row| row.ratio).map(|it| it.max).fold(1.0, f64::max);
    let height = HEAD + rows.len() as f64 * (BAR + GAP) + GAP;
    let scale = (WIDTH - LABEL - 90.0) / most;
    let mut svg = head(title, height);
    for (index, row) in rows.iter().enumerate() {
        let Some(ratio) = row.ratio else { continue };
        let y = HEAD + index as f64 * (BAR + GAP);
        let colour = if row.contender.starts_with("patchbay") { OURS } else { THEIRS };
        let middle = y + BAR / 2.0;
        let end = LABEL + ratio.median * scale;
        // Writing to a string cannot fail.
        let _ = write!(
            svg,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{}</text><rect x="{LABEL}" y="{y:.1}" width="{:.1}" height="{BAR}" fill="{colour}"/><line x1="{:.1}" x2="{:.1}" y1="{middle:.1}" y2="{middle:.1}" stroke="currentColor"/><text x="{:.1}" y="{:.1}">{:.2}</text>"#,
            LABEL - 8.0,
            middle + 4.0,
            row.contender,
            (ratio.median * scale).max(1.0),
            LABEL + ratio.min * scale,
            LABEL + ratio.max * scale,
            end.max(LABEL + ratio.max * scale) + 6.0,
            middle + 4.0,
            ratio.median,
        );
        svg.push('\n');
    }
    svg + "</svg>\n"
}

/// Nanoseconds each, as something grows; both axes are logarithmic.
pub(crate) fn growth(title: &str, axis: &str, points: &[(f64, f64)]) -> String {
    const HEIGHT: f64 = 240.0;
    let mut svg = head(title, HEIGHT);
    let span = |values: Vec<f64>| {
        let least = values.iter().copied().fold(f64::MAX, f64::min).max(1e-3);
        let most = values.iter().copied().fold(least * 10.0, f64::max);
        (least.log10().floor(), most.log10().ceil())
    };
    let (left, right) = span(points.iter().map(|point| point.0).collect());
    let (low, high) = span(points.iter().map(|point| point.1).collect());
    let x = |value: f64| 70.0 + (value.log10() - left) / (right - left).max(1.0) * (WIDTH - 110.0);
    let y = |value: f64| {
        HEIGHT - 50.0 - (value.log10() - low) / (high - low).max(1.0) * (HEIGHT - 100.0)
    };
    let mut power = low;
    while power <= high {
        let (value, at) = (10f64.powf(power), y(10f64.powf(power)));
        let _ = write!(
            svg,
            r#"<line x1="70" x2="{:.0}" y1="{at:.1}" y2="{at:.1}" stroke="currentColor" opacity="0.2"/><text x="62" y="{:.1}" text-anchor="end">{value} ns</text>"#,
            WIDTH - 40.0,
            at + 4.0
        );
        power += 1.0;
    }
    let path: Vec<String> =
        points.iter().map(|(grown, ns)| format!("{:.1},{:.1}", x(*grown), y(*ns))).collect();
    let _ = write!(
        svg,
        r#"<polyline points="{}" fill="none" stroke="{OURS}" stroke-width="2"/>"#,
        path.join(" ")
    );
    for (grown, ns) in points {
        let _ = write!(
            svg,
            r#"<circle cx="{:.1}" cy="{:.1}" r="3.5" fill="{OURS}"/><text x="{:.1}" y="{:.1}" text-anchor="middle">{ns:.0}</text><text x="{:.1}" y="{:.1}" text-anchor="middle">{grown}</text>"#,
            x(*grown),
            y(*ns),
            x(*grown),
            y(*ns) - 8.0,
            x(*grown),
            HEIGHT - 32.0
        );
    }
    let _ = write!(
        svg,
        r#"<text x="{:.0}" y="{:.0}" text-anchor="middle">{axis}</text>"#,
        WIDTH / 2.0,
        HEIGHT - 12.0
    );
    svg + "\n</svg>\n"
}

fn head(title: &str, height: f64) -> String {
    format!(
        concat!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0}" "#,
            r#"font-family="sans-serif" font-size="13" fill="currentColor" color="{ink}">"#,
            r#"<text x="8" y="22" font-size="15" font-weight="bold">{title}</text>"#,
            "\n"
        ),
        width = WIDTH,
        height = height,
        ink = THEIRS,
        title = title
    )
}
