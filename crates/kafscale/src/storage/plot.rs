//! The measurements over time as a picture: one panel for writes, one for reads, in each the median and the 99th
//! percentile of every second, and the bytes that were moved.

use std::{fmt::Write, time::Duration};

use kafscale_store::probe::Percentiles;

use super::bench::{Answered, Measured, Phase};

const WIDTH: f64 = 900.0;
const PANEL_HEIGHT: f64 = 240.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 70.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 34.0;

/// One second of a phase.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Second {
    at: f64,
    p50_ms: f64,
    p99_ms: f64,
    mb: f64,
}

/// The whole picture.
pub fn svg(title: &str, measured: &Measured, size: usize) -> String {
    let panels = [("writes", &measured.put), ("reads", &measured.get)];
    let height = 40.0 + PANEL_HEIGHT * panels.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{}</text>\n",
        escaped(title)
    );
    for (number, (name, phase)) in panels.into_iter().enumerate() {
        panel(&mut svg, 30.0 + PANEL_HEIGHT * number as f64, name, &seconds(phase, size));
    }
    svg.push_str("</svg>\n");
    svg
}

fn seconds(phase: &Phase, size: usize) -> Vec<Second> {
    let second_of = |it: &Answered| it.at.as_secs();
    let of = |some: &[Answered]| {
        let percentiles = Percentiles::of(some.iter().map(|it| it.took).collect())?;
        let ms = |took: Duration| took.as_secs_f64() * 1e3;
        Some(Second {
            at: second_of(&some[0]) as f64 + 0.5,
            p50_ms: ms(percentiles.p50),
            p99_ms: ms(percentiles.p99),
            mb: some.len() as f64 * size as f64 / 1e6,
        })
    };
    phase.answered.chunk_by(|a, b| second_of(a) == second_of(b)).filter_map(of).collect()
}

fn panel(svg: &mut String, top: f64, name: &str, seconds: &[Second]) {
    let (right, bottom) = (WIDTH - RIGHT, top + PANEL_HEIGHT - BOTTOM);
    let inner_top = top + TOP;
    text(svg, LEFT, top + 20.0, "start", &format!("{name}: ms (left), MB/s (right), by second"));
    if seconds.is_empty() {
        text(svg, LEFT, inner_top + 20.0, "start", "nothing was measured");
        return;
    }
    let last = seconds.last().map_or(1.0, |second| second.at + 0.5);
    let (ms_max, mb_max) = (ceiling(seconds.iter().map(|it| it.p99_ms)), ceiling(seconds.iter().map(|it| it.mb)));
    let x = |at: f64| LEFT + at / last * (right - LEFT);
    let y = |value: f64, max: f64| bottom - value / max * (bottom - inner_top);
    for fifth in 0..=4 {
        let share = f64::from(fifth) / 4.0;
        let level = y(share, 1.0);
        let _ =
            writeln!(svg, "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{level:.1}\" y2=\"{level:.1}\" stroke=\"#ddd\"/>");
        text(svg, LEFT - 6.0, level + 4.0, "end", &short(ms_max * share));
        text(svg, right + 6.0, level + 4.0, "start", &short(mb_max * share));
        text(svg, x(last * share), bottom + 16.0, "middle", &format!("{} s", short(last * share)));
    }
    type Line<'a> = (&'a str, &'a str, f64, fn(&Second) -> f64);
    let lines: [Line<'_>; 3] = [
        ("p50", "#1f77b4", ms_max, |it| it.p50_ms),
        ("p99", "#d62728", ms_max, |it| it.p99_ms),
        ("MB/s", "#2ca02c", mb_max, |it| it.mb),
    ];
    for (number, (label, colour, max, of)) in lines.into_iter().enumerate() {
        let points: Vec<_> = seconds.iter().map(|it| format!("{:.1},{:.1}", x(it.at), y(of(it), max))).collect();
        let dashes = if label == "MB/s" { " stroke-dasharray=\"5 3\"" } else { "" };
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"{dashes} points=\"{}\"/>",
            points.join(" ")
        );
        let at = right - 180.0 + 65.0 * number as f64;
        let _ = writeln!(svg, "<rect x=\"{at}\" y=\"{}\" width=\"12\" height=\"3\" fill=\"{colour}\"/>", top + 15.0);
        text(svg, at + 17.0, top + 20.0, "start", label);
    }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, said: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escaped(said));
}

/// The next round number above all of them.
fn ceiling(values: impl Iterator<Item = f64>) -> f64 {
    let max = values.fold(0.0, f64::max).max(1e-3);
    let power = 10_f64.powf(max.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|round| *round >= max).unwrap_or(10.0 * power)
}

fn short(value: f64) -> String {
    if value >= 10.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(at_ms: u64, took_ms: u64) -> Answered {
        Answered { at: Duration::from_millis(at_ms), took: Duration::from_millis(took_ms) }
    }

    #[test]
    fn seconds_gather_what_ended_in_them() {
        let phase =
            Phase { answered: vec![answered(100, 10), answered(900, 30), answered(2_500, 50)], ..Phase::default() };
        let seconds = seconds(&phase, 1_000_000);
        let expected = [
            Second { at: 0.5, p50_ms: 10.0, p99_ms: 30.0, mb: 2.0 },
            Second { at: 2.5, p50_ms: 50.0, p99_ms: 50.0, mb: 1.0 },
        ];
        assert_eq!(seconds, expected);
    }

    #[test]
    fn a_picture_is_drawn_whatever_was_measured() {
        let put = Phase { answered: vec![answered(100, 10), answered(1_100, 20)], ..Phase::default() };
        let picture = svg("s3://a&b", &Measured { put, ..Measured::default() }, 1_000);
        assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"));
        assert!(picture.contains("a&amp;b") && picture.contains("nothing was measured"));
        assert_eq!(picture.matches("<polyline").count(), 3);
        assert!(!picture.contains("NaN") && !picture.contains("inf"));
    }

    #[test]
    fn scales_end_at_round_numbers() {
        for (max, round) in [(0.7, 1.0), (3.0, 5.0), (99.0, 100.0), (101.0, 200.0), (0.0, 0.001)] {
            assert!((ceiling([max].into_iter()) - round).abs() < 1e-9, "{max}");
        }
    }
}
