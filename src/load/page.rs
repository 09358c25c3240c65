//! The report as a page of HTML that stands alone.

use super::chart::{Chart, Series};
use super::meter::{Figures, PERCENTILES};
use super::report::{Body, Rates, Report};

/// What stands before the charts; it needs nothing from elsewhere.
const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>hairpin bench</title>\n<style>
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
svg { width: 100%; height: auto; margin: 1rem 0 }
svg text { font-size: 12px; fill: currentColor }
svg .title { font-size: 15px; font-weight: 600 }
svg .middle { text-anchor: middle }
svg .end { text-anchor: end }
svg line { stroke: currentColor; opacity: .15 }
svg polyline { fill: none; stroke-width: 2 }
pre { overflow-x: auto; font-size: 12px }
td { padding-right: 1.5rem }
</style>
";

/// Makes the page.
pub(super) fn page(report: &Report) -> String {
    let circumstances = report.header.iter().map(|(name, value)| format!("<tr><td>{name}<td>{}\n", escape(value)));
    let charts = match &report.body {
        Body::Rates(rates) => charts(rates).iter().map(Chart::svg).collect::<String>(),
        Body::Allocations(_) => String::new(),
    };
    let (circumstances, table) = (circumstances.collect::<String>(), escape(&report.table()));
    format!("{HEAD}<h1>hairpin bench</h1>\n{charts}<table>\n{circumstances}</table>\n<pre>{table}</pre>\n</html>\n")
}

/// Text without what HTML would read as its own.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The charts of a measurement of packets.
fn charts(rates: &Rates) -> [Chart<'static>; 3] {
    let mut steps: Vec<&Figures> = rates.steps.iter().collect();
    steps.sort_by(|a, b| a.offered.total_cmp(&b.offered));
    let line = |name: &str, value: &dyn Fn(&Figures) -> Option<f64>| {
        let points = steps.iter().filter_map(|figures| Some((figures.offered, value(figures)?)));
        Series { name: name.to_owned(), points: points.collect() }
    };
    let percentile = |(index, p): (usize, f64)| line(&format!("p{p}"), &|f| f.latency.map(|all| all[index]));
    let latency = PERCENTILES.into_iter().enumerate().map(percentile).collect();
    let chart = |title, up, logarithmic, series| Chart { title, across: "packets/s offered", up, logarithmic, series };
    [
        chart(
            "Throughput",
            "packets/s",
            false,
            vec![line("sent", &|f| Some(f.sent)), line("relayed", &|f| Some(f.relayed))],
        ),
        chart("Loss", "percent", false, vec![line("loss", &|f| Some(f.loss))]),
        chart("Latency", "microseconds", true, latency),
    ]
}
