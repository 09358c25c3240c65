//! A line chart as SVG, drawn by hand: it needs no script and no library.

use std::fmt::Write;

/// A chart.
pub(super) struct Chart<'a> {
    /// What it shows.
    pub title: &'a str,
    /// What stands along the horizontal axis.
    pub across: &'a str,
    /// What stands along the vertical axis.
    pub up: &'a str,
    /// The vertical axis has powers of ten.
    pub logarithmic: bool,
    /// The lines.
    pub series: Vec<Series>,
}

/// A line: its name and its points from left to right.
pub(super) struct Series {
    /// What it is.
    pub name: String,
    /// Where it goes.
    pub points: Vec<(f64, f64)>,
}

/// The size of a chart, and of the margins around its lines: left, right, top, bottom.
const SIZE: (f64, f64) = (760.0, 340.0);
const MARGIN: (f64, f64, f64, f64) = (76.0, 130.0, 34.0, 48.0);
/// How many marks an axis has, more or less.
const MARKS: f64 = 6.0;
/// The colours of the lines: apart for everybody, on white and on black.
const COLOURS: [&str; 4] = ["#2f7ed8", "#e07b00", "#c2327a", "#4a9c2d"];

/// One axis: its ends, and where on the page they are.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Axis {
    /// Where a value is.
    fn at(&self, value: f64) -> f64 {
        let scale = |v: f64| if self.logarithmic { v.max(self.low).log10() } else { v };
        let part = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low));
        self.from + part * (self.to - self.from)
    }

    /// The values that are marked: 1, 2 or 5 times a power of ten apart, or powers of ten.
    fn marks(&self) -> Vec<f64> {
        if self.logarithmic {
            let (first, last) = (self.low.log10().round() as i32, self.high.log10().round() as i32);
            return (first..=last).map(|power| 10_f64.powi(power)).collect();
        }
        let step = step(self.high);
        (0..=(self.high / step) as u32).map(|count| f64::from(count) * step).collect()
    }
}

/// The distance between two marks of an axis that begins at zero.
fn step(high: f64) -> f64 {
    let rough = high / MARKS;
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= rough);
    factor.unwrap_or(10.0) * power
}

impl Chart<'_> {
    /// Draws it.
    pub(super) fn svg(&self) -> String {
        let (width, height) = SIZE;
        let (across, up) = (self.across_axis(), self.up_axis());
        let mut out = format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\n", self.title);
        text(&mut out, MARGIN.0, 18.0, "title", self.title);
        text(&mut out, (across.from + across.to) / 2.0, height - 8.0, "middle", self.across);
        text(&mut out, MARGIN.0 + 6.0, MARGIN.2 + 10.0, "unit", self.up);
        for value in across.marks() {
            let x = across.at(value);
            rule(&mut out, (x, up.from), (x, up.to));
            text(&mut out, x, up.from + 16.0, "middle", &short(value));
        }
        for value in up.marks() {
            let y = up.at(value);
            rule(&mut out, (across.from, y), (across.to, y));
            text(&mut out, across.from - 6.0, y + 4.0, "end", &short(value));
        }
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            draw(&mut out, series, colour, &across, &up);
        }
        self.legend(&mut out);
        out.push_str("</svg>\n");
        out
    }

    /// The horizontal axis, from zero on.
    fn across_axis(&self) -> Axis {
        let high = self.points().map(|point| point.0).fold(1.0, f64::max);
        Axis { low: 0.0, high, from: MARGIN.0, to: SIZE.0 - MARGIN.1, logarithmic: false }
    }

    /// The vertical axis, from zero or a power of ten on.
    fn up_axis(&self) -> Axis {
        let logarithmic = self.logarithmic;
        let values = || self.points().map(|point| point.1);
        let (low, high) = if logarithmic {
            let (low, high) = values().filter(|v| *v > 0.0).fold((f64::MAX, 1.0), |(l, h), v| (v.min(l), v.max(h)));
            let low = if low > high { 1.0 } else { low };
            (10_f64.powf(low.log10().floor()), 10_f64.powf((high * 1.001).log10().ceil()))
        } else {
            (0.0, values().fold(0.0, f64::max).max(0.1) * 1.05)
        };
        Axis { low, high, from: SIZE.1 - MARGIN.3, to: MARGIN.2, logarithmic }
    }

    /// Every point of every line.
    fn points(&self) -> impl Iterator<Item = &(f64, f64)> {
        self.series.iter().flat_map(|series| &series.points)
    }

    /// Says which line is which.
    fn legend(&self, out: &mut String) {
        for ((index, series), colour) in self.series.iter().enumerate().zip(COLOURS.iter().cycle()) {
            let (x, y) = (SIZE.0 - MARGIN.1 + 14.0, MARGIN.2 + 14.0 + 20.0 * index as f64);
            let box_y = y - 9.0;
            add(out, format_args!("<rect x=\"{x}\" y=\"{box_y}\" width=\"12\" height=\"10\" fill=\"{colour}\"/>"));
            text(out, x + 18.0, y, "", &series.name);
        }
    }
}

/// Draws a line and its points.
fn draw(out: &mut String, series: &Series, colour: &str, across: &Axis, up: &Axis) {
    let places: Vec<(f64, f64)> = series.points.iter().map(|(x, y)| (across.at(*x), up.at(*y))).collect();
    let line: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    add(out, format_args!("<polyline points=\"{}\" stroke=\"{colour}\"/>", line.join(" ")));
    for ((x, y), value) in places.iter().zip(&series.points) {
        let (at, is) = (short(value.0), short(value.1));
        add(
            out,
            format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"><title>{}: {is} at {at}</title></circle>",
                series.name
            ),
        );
    }
}

/// Appends a line of the grid.
fn rule(out: &mut String, from: (f64, f64), to: (f64, f64)) {
    let ((x1, y1), (x2, y2)) = (from, to);
    add(out, format_args!("<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"));
}

/// Appends a text.
fn text(out: &mut String, x: f64, y: f64, class: &str, text: &str) {
    add(out, format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{text}</text>"));
}

/// Appends a line of SVG.
fn add(out: &mut String, element: std::fmt::Arguments<'_>) {
    // A string takes everything.
    _ = writeln!(out, "{element}");
}

/// A number in few characters.
pub(super) fn short(value: f64) -> String {
    let (scaled, unit) = match value {
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e3 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let digits = format!("{scaled:.2}");
    format!("{}{unit}", digits.trim_end_matches('0').trim_end_matches('.'))
}
