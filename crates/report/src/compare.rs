//! Several runs side by side: a picture, a page, and a table in Markdown.

use plotters::{
    element::DashedPathElement,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::{
    chart::{
        AXIS, BLUE, DrawError, FONT, GRID, MARGIN, Mark, NEUTRAL, WIDTH, draw, font, grid_step, heading,
        number, printable,
    },
    html::{Escaped, Images, NBSP, document, figure, percent, push},
    page::duration,
};

/// What [`comparison_page`] shows. All text is escaped.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ComparisonReport {
    /// The title.
    pub title: String,
    /// What holds for all runs, such as `300 steps a run`.
    pub facts: Vec<String>,
    /// What is not equal beside what is compared, a clause each; empty for a fair comparison.
    pub unequal: Vec<String>,
    /// The accuracy of the untrained networks, from 0 to 1.
    pub untrained: Option<f64>,
    /// The rows, in their order.
    pub rows: Vec<ComparisonRow>,
    /// The command that made the comparison.
    pub command: String,
}

/// A row of a comparison; what was not measured is absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ComparisonRow {
    /// What was run.
    pub name: String,
    /// Its loss in a few words.
    pub loss: String,
    /// The accuracy.
    pub accuracy: Option<AccuracyMark>,
    /// The area under the ROC.
    pub auc: Option<f64>,
    /// The equal error rate, from 0 to 1.
    pub eer: Option<f64>,
    /// True-accept rates, as (FAR, TAR), both from 0 to 1.
    pub tar_at_far: Vec<(f64, f64)>,
    /// The loss of the first step.
    pub first_loss: Option<f64>,
    /// The loss that random features would give.
    pub expected_first_loss: Option<f64>,
    /// The loss at the end.
    pub last_loss: Option<f64>,
    /// Training images a second.
    pub images_per_second: Option<f64>,
    /// Seconds of training in a run.
    pub seconds: Option<f64>,
    /// What is to be known of runs that did not finish.
    pub remarks: Vec<String>,
}

/// An accuracy with its interval.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccuracyMark {
    /// The mean over runs, from 0 to 1.
    pub mean: f64,
    /// Half the width of the 95 % interval around it.
    pub half_width: f64,
    /// What the interval is over, such as `3 seeds`.
    pub over: String,
    /// The accuracy of each run.
    pub of_runs: Vec<f64>,
}

/// What stands for a number that there is none of.
const NONE: &str = "–";

/// The heading of the last column, where there are any.
const REMARKS: &str = "remarks";

/// What the intervals are, below a table.
const INTERVALS: &str = "Intervals are of 95 %: over seeds by Student's t; over the folds of a single run 1.96 \
    standard errors, which says nothing of other seeds. All other numbers are means over the seeds. A loss \
    holds the margin and scale of its head, so it compares with the loss expected of random features, not \
    with that of another head.";

impl ComparisonReport {
    /// The table as text: a line of headings, and a line for each row, all of the same length.
    pub fn cells(&self) -> Vec<Vec<String>> {
        let mut rates: Vec<f64> =
            self.rows.iter().flat_map(|row| &row.tar_at_far).map(|(far, _)| *far).collect();
        rates.sort_by(|a, b| b.total_cmp(a));
        rates.dedup();
        let has_remarks = self.rows.iter().any(|row| !row.remarks.is_empty());

        let mut head: Vec<String> =
            ["config", "loss", "accuracy", "interval", "AUC", "EER"].map(Into::into).into();
        head.extend(
            rates.iter().map(|far| format!("TAR at FAR{NBSP}{}{NBSP}%", number((far * 1e8).round() / 1e6))),
        );
        head.extend(["first loss", "expected", "last loss", "images/s", "time"].map(Into::into));
        head.extend(has_remarks.then(|| REMARKS.into()));

        let text = |value: Option<f64>, write: &dyn Fn(f64) -> String| {
            value.filter(|value| value.is_finite()).map_or_else(|| NONE.into(), write)
        };
        let row = |row: &ComparisonRow| {
            let accuracy = row.accuracy.as_ref();
            let loss = |value| text(value, &loss_text);
            let mut cells = vec![
                row.name.clone(),
                row.loss.clone(),
                text(accuracy.map(|a| a.mean), &percent),
                accuracy.map_or_else(
                    || NONE.into(),
                    |a| format!("±{NBSP}{:.2}, {}", a.half_width * 100.0, a.over),
                ),
                text(row.auc, &|auc| format!("{auc:.4}")),
                text(row.eer, &percent),
            ];
            cells.extend(rates.iter().map(|far| {
                let tar = row.tar_at_far.iter().find(|(other, _)| other == far);
                text(tar.map(|(_, tar)| *tar), &percent)
            }));
            cells.extend([loss(row.first_loss), loss(row.expected_first_loss), loss(row.last_loss)]);
            cells.push(text(row.images_per_second, &|speed| number(speed.round())));
            cells.push(text(row.seconds, &duration));
            cells.extend(has_remarks.then(|| row.remarks.join("; ")));
            cells
        };
        std::iter::once(head).chain(self.rows.iter().map(row)).collect()
    }

    /// The sentence about what is not equal; nothing for a fair comparison.
    fn warning(&self) -> Option<String> {
        let unequal = self.unequal.join("; ");
        (!unequal.is_empty()).then(|| format!("Not under the same budget: {unequal}."))
    }

    /// The facts, and what they mean for the comparison.
    fn facts(&self) -> Vec<String> {
        let untrained = self.untrained.map(|share| format!("untrained networks {}", percent(share)));
        self.facts.iter().cloned().chain(untrained).collect()
    }
}

/// The comparison as Markdown: what holds for all, the picture of [`comparison_picture`] as the file
/// `compare.svg`, and the table.
pub fn comparison_markdown(report: &ComparisonReport) -> String {
    let plain = |text: &str| text.replace('|', "\\|").replace(['\n', '\r'], " ").replace(NBSP, " ");
    let mut text = format!("# {}\n\n{}\n", plain(&report.title), plain(&report.facts().join(" · ")));
    if let Some(warning) = report.warning() {
        push(&mut text, format_args!("\n**{}**\n", plain(&warning)));
    }
    text.push_str("\n![accuracy](compare.svg)\n\n");
    for (i, cells) in report.cells().into_iter().enumerate() {
        let cells: Vec<String> = cells.iter().map(|cell| plain(cell)).collect();
        push(&mut text, format_args!("| {} |\n", cells.join(" | ")));
        if i == 0 {
            let rules = cells.iter().map(|head| if is_text(head) { "---" } else { "---:" });
            push(&mut text, format_args!("|{}|\n", rules.collect::<Vec<_>>().join("|")));
        }
    }
    push(&mut text, format_args!("\n{INTERVALS}\n"));
    if !report.command.is_empty() {
        push(&mut text, format_args!("\n    {}\n", plain(&report.command)));
    }
    text
}

/// A loss with as many digits as are worth comparing.
fn loss_text(loss: f64) -> String {
    if loss.abs() < 100.0 { format!("{loss:.3}") } else { number(loss.round()) }
}

/// Whether the column with this heading holds words.
fn is_text(head: &str) -> bool {
    ["config", "loss", REMARKS].contains(&head)
}

/// The comparison as an HTML page that needs nothing but itself, made as [`run_report`](crate::run_report) is.
///
/// # Errors
/// If the picture cannot be drawn.
pub fn comparison_page(report: &ComparisonReport) -> Result<String, DrawError> {
    let mut body = format!("<h1>{}</h1>\n", Escaped(&report.title));
    push(&mut body, format_args!("<p class=\"quiet\">{}</p>\n", Escaped(report.facts().join(" · "))));
    if let Some(warning) = report.warning() {
        push(&mut body, format_args!("<p class=\"card warning\">{}</p>\n", Escaped(warning)));
    }
    let picture = figure(&comparison_picture(report)?, "Accuracy of each config with its interval");
    body.push_str(&picture.replacen("<figure>", "<figure class=\"single\">", 1));
    body.push_str("<h2>Table</h2>\n<div class=\"card wide\" tabindex=\"0\"><table>\n");
    let mut lines = report.cells().into_iter();
    let head = lines.next().unwrap_or_default();
    // Here remarks have a line of their own: a column of sentences would push the numbers out of sight.
    let columns = head.iter().position(|head| head == REMARKS).unwrap_or(head.len());
    let row = |cells: &[String], tag: fn(usize) -> &'static str| {
        let cell = |(i, text): (usize, &String)| {
            let class = if is_text(&head[i]) { " class=\"text\"" } else { "" };
            format!("<{tag}{class}>{}</{tag}>", Escaped(text), tag = tag(i))
        };
        format!("<tr>{}</tr>\n", cells[..columns].iter().enumerate().map(cell).collect::<String>())
    };
    push(&mut body, format_args!("<thead>\n{}</thead>\n<tbody>\n", row(&head, |_| "th")));
    for cells in lines {
        body.push_str(&row(&cells, |column| if column == 0 { "th" } else { "td" }));
        if let Some(remark) = cells.get(columns).filter(|remark| !remark.is_empty()) {
            let remark = Escaped(remark);
            push(
                &mut body,
                format_args!(
                    "<tr><td class=\"remark\" colspan=\"{columns}\"><span>{remark}</span></td></tr>\n"
                ),
            );
        }
    }
    push(&mut body, format_args!("</tbody></table></div>\n<p class=\"quiet\">{INTERVALS}</p>\n"));
    if !report.command.is_empty() {
        let command = Escaped(&report.command);
        push(&mut body, format_args!("<h2>Command</h2>\n<div class=\"card\"><code>{command}</code></div>\n"));
    }
    Ok(document(&report.title, Images::Forbidden, &body))
}

/// Height of a row of the picture.
const ROW: i32 = 58;
/// Room for the accuracy as text, on the right.
const VALUES: i32 = 170;
/// Room for the axis, below.
const BELOW: i32 = 104;
const CHANCE: f64 = 0.5;

/// The accuracy of each row as a dot with its interval, the accuracy of each run as a circle, and a line for
/// chance, as SVG. An interval that leaves the axis has no end there.
///
/// # Errors
/// If the drawing library fails.
pub fn comparison_picture(report: &ComparisonReport) -> Result<String, DrawError> {
    let rows = &report.rows;
    let dot = Mark::Marker { colour: BLUE, corners: circle(DOT), filled: true };
    let interval = (Mark::Line(BLUE), "95 % interval".to_owned());
    let mut legend = vec![(dot, "one seed".to_owned()), interval];
    if rows.iter().any(|row| row.accuracy.as_ref().is_some_and(|mark| mark.of_runs.len() > 1)) {
        legend[0].1 = "mean over seeds".into();
        let ring = Mark::Marker { colour: NEUTRAL, corners: circle(RING), filled: false };
        legend.push((ring, "one seed".into()));
    }
    let (low, high) = limits(rows);
    let shows_chance = (low..=high).contains(&CHANCE);
    if shows_chance {
        legend.push((Mark::Dashed(NEUTRAL), "chance".into()));
    }
    let height = 138 + ROW * rows.len().max(1) as i32 + BELOW;
    draw("the comparison", height as u32, |area| {
        let area = heading(area, &title(report), &legend)?;
        let names: Vec<String> = rows.iter().map(|row| shortened(&printable(&row.name))).collect();
        // As with the legend, the width of text is a guess, on the wide side.
        let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0) as i32;
        let left = MARGIN + 12 + longest * FONT * 56 / 100 + 24;
        let right = WIDTH as i32 - MARGIN - VALUES;
        let bottom = ROW * rows.len().max(1) as i32;
        let place =
            |share: f64| left + ((share - low) / (high - low) * f64::from(right - left)).round() as i32;
        let centred = font(FONT - 2).pos(Pos::new(HPos::Center, VPos::Top));
        let line = |from, to| PathElement::new(vec![from, to], GRID.stroke_width(2));
        let step = grid_step(high - low);
        for i in (low / step).ceil() as i32..=(high / step + 1e-9).floor() as i32 {
            let x = place(f64::from(i) * step);
            area.draw(&line((x, 0), (x, bottom)))?;
            let text = format!("{} %", number((f64::from(i) * step * 1e4).round() / 1e2));
            area.draw(&Text::new(text, (x, bottom + 12), centred.clone()))?;
        }
        area.draw(&PathElement::new(vec![(left, bottom), (right, bottom)], AXIS.stroke_width(2)))?;
        let middle = ((left + right) / 2, bottom + 56);
        let label = if shows_chance { "accuracy" } else { "accuracy (50 % is chance)" };
        area.draw(&Text::new(label, middle, font(FONT).pos(Pos::new(HPos::Center, VPos::Top))))?;
        if shows_chance {
            let chance = [(place(CHANCE), 0), (place(CHANCE), bottom)];
            area.draw(&DashedPathElement::new(chance, 12, 8, NEUTRAL.stroke_width(3)))?;
        }

        for (i, (row, name)) in rows.iter().zip(names).enumerate() {
            let y = ROW * i as i32 + ROW / 2;
            let beside = |pos| font(FONT - 2).pos(Pos::new(pos, VPos::Center));
            area.draw(&Text::new(name, (left - 24, y), beside(HPos::Right)))?;
            let Some(accuracy) = row.accuracy.as_ref().filter(|a| a.mean.is_finite()) else {
                let none = beside(HPos::Right).color(&NEUTRAL);
                area.draw(&Text::new("no result", (WIDTH as i32 - MARGIN, y), none))?;
                continue;
            };
            let ends = [accuracy.mean - accuracy.half_width, accuracy.mean + accuracy.half_width];
            let [from, to] = ends.map(|end| (place(end.clamp(low, high)), y));
            area.draw(&PathElement::new(vec![from, to], BLUE.stroke_width(5)))?;
            for ((x, y), end) in [from, to].into_iter().zip(ends) {
                if (low..=high).contains(&end) {
                    area.draw(&PathElement::new(vec![(x, y - 11), (x, y + 11)], BLUE.stroke_width(5)))?;
                }
            }
            if accuracy.of_runs.len() > 1 {
                for share in &accuracy.of_runs {
                    area.draw(&Circle::new((place(*share), y), RING as i32, NEUTRAL.stroke_width(3)))?;
                }
            }
            area.draw(&Circle::new((place(accuracy.mean), y), DOT as i32, BLUE.filled()))?;
            let value = format!("{:.1} %", accuracy.mean * 100.0);
            area.draw(&Text::new(value, (WIDTH as i32 - MARGIN, y), beside(HPos::Right)))?;
        }
        Ok(())
    })
}

const DOT: f64 = 12.0;
const RING: f64 = 9.0;

fn title(report: &ComparisonReport) -> String {
    let intervals: Vec<&str> =
        report.rows.iter().filter_map(|row| Some(row.accuracy.as_ref()?.over.as_str())).collect();
    match intervals.first() {
        Some(first) if intervals.iter().all(|over| over == first) => {
            format!("Accuracy, interval over {first}")
        }
        _ => "Accuracy".into(),
    }
}

/// The corners of a circle around its middle.
fn circle(radius: f64) -> Vec<(i32, i32)> {
    let angle = |i: i32| f64::from(i) / 16.0 * std::f64::consts::TAU;
    let corner = |i| ((radius * angle(i).cos()).round() as i32, (radius * angle(i).sin()).round() as i32);
    (0..16).map(corner).collect()
}

/// A name that leaves the picture room.
fn shortened(name: &str) -> String {
    const LONGEST: usize = 24;
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.into(),
    }
}

/// The ends of the axis: every run and every interval, but nothing below 0 or above 1, and no more of an interval
/// than the dots would bear; and chance, unless that would press several rows into a corner.
fn limits(rows: &[ComparisonRow]) -> (f64, f64) {
    let marks = || rows.iter().filter_map(|row| row.accuracy.as_ref()).filter(|mark| mark.mean.is_finite());
    let dots = || marks().flat_map(|mark| mark.of_runs.iter().copied().chain([mark.mean]));
    let ends = |numbers: &mut dyn Iterator<Item = f64>| {
        numbers.fold((1.0_f64, 0.0_f64), |(low, high), x| (low.min(x), high.max(x)))
    };
    let (lowest, highest) = ends(&mut dots());
    let is_far = marks().count() > 1 && lowest - CHANCE > 3.0 * (highest - lowest).max(0.01);
    let (low, high) = if is_far { (lowest, highest) } else { (lowest.min(CHANCE), highest.max(CHANCE)) };
    // Student's t of two seeds is 12.7 standard errors: such bars would leave the dots no room.
    let room = (high - low).max(0.02);
    let bars = marks().flat_map(|mark| [mark.mean - mark.half_width, mark.mean + mark.half_width]);
    let (bar_low, bar_high) = ends(&mut bars.filter(|end| end.is_finite()));
    let low = low.min(bar_low.max(low - room / 2.0)) - room * 0.04;
    let high = high.max(bar_high.min(high + room / 2.0)) + room * 0.04;
    (low.max(0.0), high.min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::texts_of_well_formed;

    const HOSTILE: &str = "<script>alert('1')</script> & \"more\" | x";

    fn report(text: &str) -> ComparisonReport {
        let row = ComparisonRow {
            name: text.into(),
            loss: text.into(),
            accuracy: Some(AccuracyMark {
                mean: 0.772,
                half_width: 0.012,
                over: "3 seeds".into(),
                of_runs: vec![0.77, 0.772, 0.774],
            }),
            auc: Some(0.8512),
            eer: Some(0.2234),
            tar_at_far: vec![(0.1, 0.51), (0.01, 0.2)],
            first_loss: Some(4.6049),
            expected_first_loss: Some(4.605),
            last_loss: Some(1234.5),
            images_per_second: Some(1834.6),
            seconds: Some(75.0),
            remarks: Vec::new(),
        };
        let diverged = ComparisonRow {
            name: "other".into(),
            loss: "softmax".into(),
            remarks: vec!["seed 1: diverged at step 3".into(), text.into()],
            ..ComparisonRow::default()
        };
        ComparisonReport {
            title: text.into(),
            facts: vec!["300 steps a run".into(), text.into()],
            unequal: vec![text.into(), "run.batch is 8, but 9 in a".into()],
            untrained: Some(0.61),
            rows: vec![row, diverged],
            command: text.into(),
        }
    }

    #[test]
    fn all_text_is_escaped() {
        let page = comparison_page(&report(HOSTILE)).unwrap();
        assert!(!page.contains("<script") && !page.contains("\"more\"") && !page.contains("'1'"));
        let body = &page[page.find("<body>").unwrap()..page.find("</html>").unwrap()];
        texts_of_well_formed(body);
        texts_of_well_formed(&comparison_picture(&report(HOSTILE)).unwrap());
    }

    #[test]
    fn the_page_refers_to_nothing_outside() {
        let page = comparison_page(&report("plain")).unwrap();
        for word in ["http:", "https:", "//", "url(", "@import", "src=", "href=", "<link", "<script", "<img"]
        {
            assert!(!page.contains(word), "{word}");
        }
        assert!(page.contains("default-src 'none'") && page.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn every_line_of_the_table_has_every_column() {
        let cells = report("cosface").cells();
        assert_eq!(
            cells[0].join(",").replace(NBSP, " "),
            "config,loss,accuracy,interval,AUC,EER,TAR at FAR 10 %,TAR at FAR 1 %,first loss,expected,last loss,\
             images/s,time,remarks"
        );
        assert_eq!(
            cells[1].join("; ").replace(NBSP, " "),
            "cosface; cosface; 77.20 %; ± 1.20, 3 seeds; 0.8512; 22.34 %; 51.00 %; 20.00 %; 4.605; 4.605; 1,235; 1,835; 1 min 15 s; "
        );
        assert_eq!(cells[2].len(), cells[0].len());
        assert_eq!(cells[2][13], "seed 1: diverged at step 3; cosface");
        let fine = ComparisonReport { rows: vec![ComparisonRow::default()], ..ComparisonReport::default() };
        assert_eq!(fine.cells()[1].join(""), "–".repeat(9));
    }

    #[test]
    fn markdown_keeps_its_columns() {
        let text = comparison_markdown(&report(HOSTILE));
        let table: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        let columns = |line: &str| line.replace("\\|", "").matches('|').count();
        assert_eq!(table.len(), 4);
        assert!(table.iter().all(|line| columns(line) == 15), "{table:?}");
        assert!(text.contains("**Not under the same budget: ") && !text.contains(NBSP));
        let fair = ComparisonReport { unequal: Vec::new(), ..report("a") };
        assert!(!comparison_markdown(&fair).contains("budget"));
        assert!(!comparison_page(&fair).unwrap().contains("budget"));
    }

    #[test]
    fn the_picture_names_rows_and_values() {
        let texts = texts_of_well_formed(&comparison_picture(&report("cosface")).unwrap());
        for text in ["cosface", "other", "77.2 %", "50 %", "accuracy", "chance", "no result"] {
            assert!(texts.iter().any(|t| t == text), "{text} in {texts:?}");
        }
        assert!(texts.iter().any(|t| t == "Accuracy, interval over 3 seeds"));
        texts_of_well_formed(&comparison_picture(&ComparisonReport::default()).unwrap());
        let mut wild = report("a");
        wild.rows[0].accuracy =
            Some(AccuracyMark { mean: f64::NAN, half_width: f64::INFINITY, ..AccuracyMark::default() });
        texts_of_well_formed(&comparison_picture(&wild).unwrap());
    }

    #[test]
    fn wide_intervals_leave_the_dots_room() {
        let row = |mean, half_width| ComparisonRow {
            accuracy: Some(AccuracyMark { mean, half_width, of_runs: vec![mean], ..AccuracyMark::default() }),
            ..ComparisonRow::default()
        };
        let (low, high) = limits(&[row(0.7, 0.6)]);
        assert!(low > 0.35 && low < 0.5 && high > 0.75 && high < 0.85, "{low} {high}");
        let (low, high) = limits(&[row(0.7, 0.01), row(0.99, 0.1)]);
        assert!(low < 0.5 && high == 1.0);
        let (low, high) = limits(&[]);
        assert!(low < 0.5 && high > 0.5);
        // Far above chance the differences are what is looked for.
        let (low, high) = limits(&[row(0.93, 0.01), row(0.97, 0.01)]);
        assert!(low > 0.9 && high < 1.0, "{low} {high}");
    }
}
