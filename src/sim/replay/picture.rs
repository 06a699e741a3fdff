//! A replay as a picture for a post-mortem: SVG, without scripts, for light and dark pages.
//!
//! From above: what it was; where the visitors were, provider by provider, minute by minute; what failed; when who
//! answered changed; and what that cost, beside doing nothing and the rules of others. The chart is one seed, the first;
//! the figures are those of all.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::report::{Report, ShownFault};

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 1168.0;
const TOP: f64 = 132.0;
const BOTTOM: f64 = 432.0;
/// Flips stand in this band above the chart.
const FLIPS: f64 = 116.0;
/// Faults stand in bars below it.
const FAULTS: f64 = 468.0;
const BAR: f64 = 14.0;
/// The most bars of faults.
const MAX_BARS: usize = 6;
/// The most points of one line: more than there are dots.
const MAX_POINTS: usize = 1_100;
/// By provider: the one that failed first, then the others. Told apart by eyes that do not see all colours.
const COLOURS: [&str; 8] = ["#d9622b", "#2f7fc1", "#2a9d78", "#8a67c0", "#c79a1e", "#5c7388", "#c2577f", "#7a8f2e"];
const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',sans-serif;fill:#1f2730}\
.page{fill:#fbfcfd}.quiet{fill:#5d6975}.title{font-size:23px;font-weight:650}.small{font-size:12.5px}.label{font-size:13.5px}\
.number{font-size:13.5px;font-variant-numeric:tabular-nums}.plot{fill:#eef1f4}.grid{stroke:#8593a1;stroke-opacity:.28;stroke-width:1}\
.fault{fill:#b3261e}.flip{stroke:#1f2730;stroke-width:1.2;stroke-dasharray:3 3;stroke-opacity:.75}.dot{fill:#1f2730}\
.track{fill:#8593a1;fill-opacity:.2}.ours{fill:#2a9d78}.theirs{fill:#7d8b99}.nothing{fill:#b3261e}.edge{stroke:#fbfcfd;stroke-width:1.4}\
@media(prefers-color-scheme:dark){text{fill:#e8edf2}.page{fill:#14181d}.quiet{fill:#9aa7b4}.plot{fill:#1d232a}.grid{stroke:#9aa7b4}\
.fault{fill:#ff6b5e}.flip{stroke:#e8edf2}.dot{fill:#e8edf2}.nothing{fill:#ff6b5e}.edge{stroke:#14181d}}";

/// Lies over the chart while something fails: the colours beneath stay what they are.
const HATCH: &str = r##"<defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="2.2" height="7" fill="#fff" fill-opacity=".34"/></pattern></defs>"##;

/// The picture of a report.
pub fn draw(report: &Report) -> String {
    let mut picture = Picture { report, svg: String::new(), length: length(report) };
    let bars = picture.bars();
    let rows = 2 + report.against.len();
    let costs = FAULTS + bars.len() as f64 * (BAR + 8.0) + 64.0;
    let height = costs + rows as f64 * 26.0 + 40.0;
    picture.head(height);
    picture.chart();
    picture.flips();
    picture.faults(&bars);
    picture.costs(costs);
    picture.foot(height);
    picture.svg
}

fn length(report: &Report) -> f64 {
    report.incident.end.since(report.incident.begin).as_secs_f64().max(1.0)
}

struct Picture<'a> {
    report: &'a Report,
    svg: String,
    /// Seconds.
    length: f64,
}

impl Picture<'_> {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (seconds / self.length).clamp(0.0, 1.0)
    }

    fn put(&mut self, line: &str) {
        self.svg.push_str(line);
        self.svg.push('\n');
    }

    fn text(&mut self, (x, y): (f64, f64), class: &str, anchor: &str, text: &str) {
        let text = escaped(text);
        self.put(&format!(r#"<text x="{x:.1}" y="{y:.1}" class="{class}" text-anchor="{anchor}">{text}</text>"#));
    }

    fn head(&mut self, height: f64) {
        let (title, about) = (self.report.incident.title.clone(), self.summary());
        self.put(&format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" role="img" aria-labelledby="title about">"#
        ));
        self.put(&format!(r#"<title id="title">{}</title>"#, escaped(&title)));
        self.put(&format!(r#"<desc id="about">{}</desc>"#, escaped(&about)));
        self.put(&format!("<style>{STYLE}</style>"));
        self.put(HATCH);
        self.put(&format!(r#"<rect class="page" width="{WIDTH}" height="{height:.0}" rx="10"/>"#));
        self.text((LEFT, 44.0), "title", "start", &title);
        self.text((LEFT, 68.0), "label quiet", "start", &about);
        self.legend();
    }

    fn summary(&self) -> String {
        let report = self.report;
        let total = &report.total;
        let day = self.clock(0.0, "%Y-%m-%d");
        let who = if total.hit == 0 {
            "no visitor was hit".to_owned()
        } else {
            format!("a visitor lost {} instead of {}", span(total.errors.mean), span(total.nothing.mean))
        };
        let seeds = if report.seeds == 1 { "One seed".to_owned() } else { format!("Mean of {} seeds", report.seeds) };
        format!("{day}, times in UTC. {seeds}: {who}; {:.1} flips of a name.", total.flips.mean)
    }

    /// Providers in the order of their areas: those that fail at the bottom.
    fn providers(&self) -> Vec<(Arc<str>, &'static str)> {
        let load = &self.report.shown.load;
        let fails = |id: &str| self.report.shown.faults.iter().any(|fault| fault.what.starts_with(&format!("{id}: ")));
        let begins =
            |id: &Arc<str>| load.get(id).and_then(|parts| parts.get(5).or(parts.last())).copied().unwrap_or(0.0);
        let mut ids: Vec<Arc<str>> = load.keys().cloned().collect();
        ids.sort_by(|a, b| fails(b).cmp(&fails(a)).then(begins(b).total_cmp(&begins(a))).then(a.cmp(b)));
        ids.into_iter().zip(COLOURS.into_iter().cycle()).collect()
    }

    fn legend(&mut self) {
        let mut x = LEFT;
        for (id, colour) in self.providers() {
            self.put(&format!(r#"<rect x="{x:.1}" y="84" width="13" height="13" rx="3" fill="{colour}"/>"#));
            self.text((x + 20.0, 95.5), "label", "start", &id);
            x += 20.0 + id.len() as f64 * 8.2 + 24.0;
        }
        self.put(&format!(r#"<circle class="dot" cx="{:.1}" cy="90.5" r="4"/>"#, x + 5.0));
        self.text((x + 16.0, 95.5), "label quiet", "start", "who answers changes");
    }

    fn chart(&mut self) {
        let (width, height) = (RIGHT - LEFT, BOTTOM - TOP);
        self.put(&format!(r#"<rect class="plot" x="{LEFT}" y="{TOP}" width="{width}" height="{height}"/>"#));
        self.areas();
        self.shade();
        for percent in [0, 25, 50, 75, 100] {
            let y = BOTTOM - height * f64::from(percent) / 100.0;
            self.put(&format!(r#"<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1}" y2="{y:.1}"/>"#));
            self.text((LEFT - 10.0, y + 4.5), "small quiet", "end", &format!("{percent} %"));
        }
        let step = tick(self.length);
        let first = step - (self.report.incident.begin.0 as f64 / 1000.0) % step;
        let mut at = if first >= step { 0.0 } else { first };
        while at <= self.length {
            let x = self.x(at);
            self.put(&format!(r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{:.1}"/>"#, BOTTOM + 6.0));
            let clock = self.clock(at, "%H:%M");
            self.text((x, BOTTOM + 22.0), "small quiet", "middle", &clock);
            at += step;
        }
    }

    /// Each provider's part of the visitors, one on the other.
    fn areas(&mut self) {
        let minutes = self.report.shown.load.values().map(Vec::len).max().unwrap_or(0);
        let group = minutes.div_ceil(MAX_POINTS).max(1);
        let mut floor = vec![0.0; minutes.div_ceil(group)];
        for (id, colour) in self.providers() {
            let parts = grouped(&self.report.shown.load, &id, group);
            let top: Vec<f64> = floor.iter().zip(&parts).map(|(floor, part)| (floor + part).min(1.0)).collect();
            let mut path = String::new();
            let point = |at: usize, part: f64| {
                let x = self.x((at * group) as f64 * 60.0 + group as f64 * 30.0);
                (x, BOTTOM - (BOTTOM - TOP) * part)
            };
            // The ends of the chart are half a step beyond the first and last points.
            let ends = |parts: &[f64]| (parts.first().copied().unwrap_or(0.0), parts.last().copied().unwrap_or(0.0));
            let y = |part: f64| BOTTOM - (BOTTOM - TOP) * part;
            let (first, last) = ends(&top);
            let _ = write!(path, "M{LEFT:.1} {:.1}", y(first));
            for (at, part) in top.iter().enumerate() {
                let (x, y) = point(at, *part);
                let _ = write!(path, "L{x:.1} {y:.1}");
            }
            let (low_first, low_last) = ends(&floor);
            let _ = write!(path, "L{RIGHT:.1} {:.1}L{RIGHT:.1} {:.1}", y(last), y(low_last));
            for (at, part) in floor.iter().enumerate().rev() {
                let (x, y) = point(at, *part);
                let _ = write!(path, "L{x:.1} {y:.1}");
            }
            let _ = write!(path, "L{LEFT:.1} {:.1}Z", y(low_first));
            self.put(&format!(
                r#"<path d="{path}" fill="{colour}" fill-opacity=".88"><title>{}</title></path>"#,
                escaped(&id)
            ));
            floor = top;
        }
    }

    /// Where something fails is hatched, the more of it the clearer.
    fn shade(&mut self) {
        for fault in &self.report.shown.faults {
            let (from, until) = (self.x(fault.from), self.x(fault.until));
            let opacity = 0.25 + 0.75 * fault.fails;
            let _ = writeln!(
                self.svg,
                r#"<rect x="{from:.1}" y="{TOP}" width="{:.1}" height="{:.1}" fill="url(#hatch)" opacity="{opacity:.2}"/>"#,
                (until - from).max(1.0),
                BOTTOM - TOP
            );
        }
    }

    fn flips(&mut self) {
        for flip in &self.report.shown.flips {
            let (from, until) = (self.x(flip.from), self.x(flip.until));
            let told = format!(
                "{} {}: {} to {}",
                self.clock(flip.from, "%H:%M:%S"),
                flip.name.trim_end_matches('.'),
                flip.before,
                flip.after
            );
            let ramp = match until - from > 2.0 {
                true => format!(r#"<line class="flip" x1="{from:.1}" x2="{until:.1}" y1="{FLIPS}" y2="{FLIPS}"/>"#),
                false => String::new(),
            };
            let _ = writeln!(
                self.svg,
                r#"<g><title>{}</title>{ramp}<line class="flip" x1="{from:.1}" x2="{from:.1}" y1="{FLIPS}" y2="{BOTTOM}"/><circle class="dot" cx="{from:.1}" cy="{FLIPS}" r="4"/></g>"#,
                escaped(&told)
            );
        }
    }

    /// What failed, by what it was: one bar each.
    fn bars(&self) -> Vec<(String, Vec<ShownFault>)> {
        let mut bars: Vec<(String, Vec<ShownFault>)> = Vec::new();
        for fault in &self.report.shown.faults {
            match bars.iter().position(|(what, _)| *what == fault.what) {
                Some(at) => bars[at].1.push(fault.clone()),
                None if bars.len() < MAX_BARS => bars.push((fault.what.clone(), vec![fault.clone()])),
                None => {}
            }
        }
        bars
    }

    fn faults(&mut self, bars: &[(String, Vec<ShownFault>)]) {
        for (number, (what, faults)) in bars.iter().enumerate() {
            let y = FAULTS + number as f64 * (BAR + 8.0);
            let _ = writeln!(
                self.svg,
                r#"<rect class="track" x="{LEFT}" y="{y:.1}" width="{:.1}" height="{BAR}" rx="3"/>"#,
                RIGHT - LEFT
            );
            for fault in faults {
                let (from, until) = (self.x(fault.from), self.x(fault.until));
                let opacity = 0.25 + 0.75 * fault.fails;
                let width = (until - from).max(1.5);
                let told = format!("{what}, {:.1} % of requests", fault.fails * 100.0);
                let _ = writeln!(
                    self.svg,
                    r#"<rect class="fault" x="{from:.1}" y="{y:.1}" width="{width:.1}" height="{BAR}" fill-opacity="{opacity:.2}"><title>{}</title></rect>"#,
                    escaped(&told)
                );
            }
            let (x, anchor) = self.beside(faults);
            self.text((x, y + 11.5), "small", anchor, what);
        }
    }

    /// Where a bar has room for its words: behind its last fault, else before its first.
    fn beside(&self, faults: &[ShownFault]) -> (f64, &'static str) {
        let until = faults.iter().map(|fault| self.x(fault.until)).fold(LEFT, f64::max);
        let from = faults.iter().map(|fault| self.x(fault.from)).fold(RIGHT, f64::min);
        match (RIGHT - until > 260.0, from - LEFT > 260.0) {
            (true, _) => (until + 8.0, "start"),
            (false, true) => (from - 8.0, "end"),
            (false, false) => (LEFT + 8.0, "start"),
        }
    }

    /// Seconds that a visitor lost, by each rule.
    fn costs(&mut self, top: f64) {
        let total = &self.report.total;
        let mut rows = vec![
            ("doing nothing".to_owned(), "nothing", total.nothing.mean, None),
            ("Pointsman".to_owned(), "ours", total.errors.mean, Some(total.flips.mean)),
        ];
        for (peer, (errors, flips)) in self.report.against.iter().zip(&total.against) {
            rows.push((peer.word().to_owned(), "theirs", errors.mean, Some(flips.mean)));
        }
        self.text((LEFT, top - 16.0), "label quiet", "start", "Time that a visitor lost, on average");
        let most = rows.iter().map(|row| row.2).fold(1.0, f64::max);
        for (number, (who, class, lost, flips)) in rows.into_iter().enumerate() {
            let y = top + number as f64 * 26.0;
            let width = (RIGHT - 560.0) * lost / most;
            self.text((LEFT, y + 12.0), "label", "start", &who);
            let _ = writeln!(
                self.svg,
                r#"<rect class="{class}" x="200" y="{y:.1}" width="{:.1}" height="15" rx="3"/>"#,
                width.max(2.0)
            );
            let flips = flips.map_or(String::new(), |flips| format!(" \u{b7} {flips:.1} flips"));
            self.text((200.0 + width.max(2.0) + 10.0, y + 12.0), "number", "start", &format!("{}{flips}", span(lost)));
        }
    }

    fn foot(&mut self, height: f64) {
        let told = "pointsman replay: the chart is the first seed, the figures are the mean of all; resolver caches are simulated";
        self.text((RIGHT, height - 14.0), "small quiet", "end", told);
        self.svg.push_str("</svg>\n");
    }

    fn clock(&self, seconds: f64, format: &str) -> String {
        let millis = i64::try_from(self.report.incident.begin.0).unwrap_or(i64::MAX);
        let at = jiff::Timestamp::from_millisecond(millis.saturating_add((seconds * 1000.0) as i64));
        at.map_or(String::new(), |at| at.strftime(format).to_string())
    }
}

/// Means of so many minutes each.
fn grouped(load: &BTreeMap<Arc<str>, Vec<f64>>, id: &Arc<str>, group: usize) -> Vec<f64> {
    let mean = |parts: &[f64]| parts.iter().sum::<f64>() / parts.len() as f64;
    load.get(id).map(|parts| parts.chunks(group).map(mean).collect()).unwrap_or_default()
}

/// Seconds between two times on the axis: ten to sixteen of them.
fn tick(length: f64) -> f64 {
    let steps = [300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0];
    steps.into_iter().find(|step| length / step <= 16.0).unwrap_or(172_800.0)
}

/// `22.4 s`, `25 min 0 s`, `2 h 40 min`.
pub fn span(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..120 => format!("{seconds:.1} s"),
        120..7200 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_texts_are_written_for_people() {
        let table = [(0.04, "0.0 s"), (59.96, "60.0 s"), (125.0, "2 min 5 s"), (7260.0, "2 h 1 min")];
        for (seconds, words) in table {
            assert_eq!(span(seconds), words);
        }
        assert_eq!(escaped("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
        assert_eq!([3_600.0, 27_600.0, 86_400.0].map(tick), [300.0, 1800.0, 7200.0]);
    }
}
