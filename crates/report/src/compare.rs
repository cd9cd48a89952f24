//! Several runs side by side: a picture, a page, and a table in Markdown.

use facegrad_results::{Figure, MeanFigure, ResultTable, Scale};

use crate::{
    Block, Drawing, Page, PageSection,
    chart::{Axis, Chart, Layer, Panel, number, percent},
    svg::{BLUE, Look, NEUTRAL, Picture},
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
    /// What guessing would reach in the figure that is compared, where that is known.
    pub chance: Option<f64>,
    /// The rows, in their order.
    pub rows: Vec<ComparisonRow>,
    /// The command that made the comparison.
    pub command: String,
}

/// A row of a comparison.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ComparisonRow {
    /// What was run.
    pub name: String,
    /// Its loss in a few words.
    pub loss: String,
    /// The figure that is compared.
    pub mark: Option<MeanFigure>,
    /// Means of all other figures, in their order; what was not measured has no value.
    pub figures: Vec<Figure>,
    /// What is to be known of runs that did not finish.
    pub remarks: Vec<String>,
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
    /// What the compared figure is called.
    fn figure(&self) -> &str {
        let label = self.rows.iter().find_map(|row| Some(row.mark.as_ref()?.name.as_str()));
        label.unwrap_or("accuracy")
    }

    /// The table as text: a line of headings, and a line for each row, all of the same length. A figure that no row has
    /// measured has no column.
    pub fn cells(&self) -> Vec<Vec<String>> {
        let mut columns: Vec<(&str, &str)> = Vec::new();
        for figure in self.rows.iter().flat_map(|row| &row.figures).filter(|figure| figure.value.is_some()) {
            if columns.iter().all(|(key, _)| *key != figure.key) {
                columns.push((&figure.key, &figure.label));
            }
        }
        let has_remarks = self.rows.iter().any(|row| !row.remarks.is_empty());
        let mut head: Vec<String> = ["config", "loss", self.figure(), "interval"].map(Into::into).into();
        head.extend(columns.iter().map(|(_, label)| (*label).to_owned()));
        head.extend(has_remarks.then(|| REMARKS.into()));
        let row = |row: &ComparisonRow| {
            let mark = row.mark.as_ref();
            let mut cells = vec![
                row.name.clone(),
                row.loss.clone(),
                mark.map_or_else(|| NONE.into(), |mark| Scale::Percent.write(mark.mean)),
                mark.and_then(|mark| Some(format!("± {:.2}, {}", mark.half_width * 100.0, mark.over()?)))
                    .unwrap_or_else(|| NONE.into()),
            ];
            cells.extend(columns.iter().map(|(key, _)| {
                let figure = row.figures.iter().find(|figure| figure.key == *key);
                figure.map_or_else(|| NONE.into(), Figure::text)
            }));
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
}

/// The comparison as Markdown: what holds for all, the picture of [`comparison_picture`] as the file
/// `compare.svg`, and the table.
pub fn comparison_markdown(report: &ComparisonReport) -> String {
    let plain = |text: &str| text.replace('|', "\\|").replace(['\n', '\r'], " ");
    let mut text = format!("# {}\n\n{}\n", plain(&report.title), plain(&report.facts.join(" · ")));
    text.extend(report.warning().map(|warning| format!("\n**{}**\n", plain(&warning))));
    text.push_str(&format!("\n![{}](compare.svg)\n\n", report.figure()));
    for (i, cells) in report.cells().into_iter().enumerate() {
        let cells: Vec<String> = cells.iter().map(|cell| plain(cell)).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
        if i == 0 {
            let is_text = |head: &str| ["config", "loss", REMARKS].contains(&head);
            let rules = cells.iter().map(|head| if is_text(head) { "---" } else { "---:" });
            text.push_str(&format!("|{}|\n", rules.collect::<Vec<_>>().join("|")));
        }
    }
    text.push_str(&format!("\n{INTERVALS}\n"));
    if !report.command.is_empty() {
        text.push_str(&format!("\n    {}\n", plain(&report.command)));
    }
    text
}

/// The comparison as a page: the picture, the table, and the command.
pub fn comparison_page(report: &ComparisonReport) -> Page {
    let mut lines = report.cells().into_iter();
    let mut header = lines.next().unwrap_or_default();
    // Here remarks have a line of their own: a column of sentences would push the numbers out of sight.
    let columns = header.iter().position(|head| head == REMARKS).unwrap_or(header.len());
    header.truncate(columns);
    let (rows, remarks) = lines
        .map(|mut cells| {
            let remark = if cells.len() > columns { cells.remove(columns) } else { String::new() };
            (cells, remark)
        })
        .unzip();
    let description = format!("{} of each config with its interval", report.figure());
    let table = ResultTable { header, rows, remarks, ..ResultTable::default() };
    Page {
        title: report.title.clone(),
        facts: report.facts.clone(),
        warnings: report.warning().into_iter().collect(),
        sections: vec![PageSection {
            title: "Comparison".into(),
            blocks: vec![
                Block::Drawings(vec![Drawing::new(comparison_picture(report), description)]),
                Block::Table(table),
                Block::Note(INTERVALS.into()),
                Block::Command(report.command.clone()),
            ],
        }],
    }
}

/// The headline figure of each row as a dot with its interval, that of each run as a circle, and a line for
/// chance. An interval that leaves the axis has no end there.
pub fn comparison_picture(report: &ComparisonReport) -> Picture {
    let rows = &report.rows;
    let count = rows.len().max(1) as f64;
    let (dot, ring) =
        (Look::dots(BLUE, 12.0), Look::Markers { colour: NEUTRAL, shape: 0, radius: 9.0, fill: 0.0 });
    let has_seeds = rows.iter().any(|row| row.mark.as_ref().is_some_and(|mark| mark.of_runs.len() > 1));
    let range = limits(rows, report.chance);
    let is_shown = |share: &f64| (range.0..=range.1).contains(share);
    let mut layers = vec![
        Layer::entry(dot.clone(), if has_seeds { "mean over seeds" } else { "one seed" }),
        Layer::entry(Look::line(BLUE), "95 % interval"),
    ];
    layers.extend(has_seeds.then(|| Layer::entry(ring.clone(), "one seed")));
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for (i, row) in rows.iter().enumerate() {
        let y = count - 0.5 - i as f64;
        names.push((y, row.name.clone()));
        let Some(mark) = row.mark.as_ref().filter(|mark| mark.mean.is_finite()) else {
            values.push((y, "no result".to_owned()));
            continue;
        };
        values.push((y, format!("{:.1} %", mark.mean * 100.0)));
        layers.push(Layer::new(dot.clone(), [(mark.mean, y)]));
        if mark.of_runs.len() > 1 {
            layers.push(Layer::new(ring.clone(), mark.of_runs.iter().map(|share| (*share, y))));
        }
        let ends = [mark.mean - mark.half_width, mark.mean + mark.half_width];
        let bars = ends.into_iter().filter(is_shown).map(|end| [(end, y - 0.19), (end, y + 0.19)]);
        let lines = bars.chain([ends.map(|end| (end, y))]);
        layers.extend(lines.map(|line| Layer::new(Look::line(BLUE), line)));
    }
    let mut label = report.figure().to_owned();
    match report.chance {
        Some(chance) if is_shown(&chance) => {
            let line = [(chance, 0.0), (chance, count)];
            layers.push(Layer::new(Look::dashed(NEUTRAL), line).named("chance"));
        }
        Some(chance) => label = format!("{label} ({} % is chance)", number(chance * 100.0)),
        None => {}
    }
    let panel = Panel {
        x: Axis::linear(&label, range, 8, percent),
        y: Axis { range: (0.0, count), ticks: names, ..Axis::default() },
        height: Some(58.0 * count),
        layers,
        beside: values,
        ..Panel::default()
    };
    Chart { title: title(report), panels: vec![panel], ..Chart::default() }.picture()
}

fn title(report: &ComparisonReport) -> String {
    let marks = report.rows.iter().filter_map(|row| row.mark.as_ref());
    let intervals: Vec<String> = marks.map(|mark| mark.over().unwrap_or_default()).collect();
    let mut figure = report.figure().to_owned();
    if let Some(first) = figure.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    match intervals.first() {
        Some(first) if intervals.iter().all(|over| over == first) => {
            format!("{figure}, interval over {first}")
        }
        _ => figure,
    }
}

/// The ends of the axis: every run and every interval, but nothing below 0 or above 1, and no more of an interval
/// than the dots would bear; and chance, unless that would press several rows into a corner.
fn limits(rows: &[ComparisonRow], chance: Option<f64>) -> (f64, f64) {
    let marks = || rows.iter().filter_map(|row| row.mark.as_ref()).filter(|mark| mark.mean.is_finite());
    let dots = || marks().flat_map(|mark| mark.of_runs.iter().copied().chain([mark.mean]));
    let ends = |numbers: &mut dyn Iterator<Item = f64>| {
        numbers.fold((1.0_f64, 0.0_f64), |(low, high), x| (low.min(x), high.max(x)))
    };
    let (lowest, highest) = ends(&mut dots());
    let is_far = |chance: f64| marks().count() > 1 && lowest - chance > 3.0 * (highest - lowest).max(0.01);
    let (low, high) = match chance {
        Some(chance) if !is_far(chance) => (lowest.min(chance), highest.max(chance)),
        // Nothing to show at all.
        _ if lowest > highest => (highest, lowest),
        _ => (lowest, highest),
    };
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
    use facegrad_results::{Better, IntervalOver};

    use super::*;
    use crate::testing::texts_of_well_formed;

    const HOSTILE: &str = "<script>alert('1')</script> & \"more\" | x";

    fn report(text: &str) -> ComparisonReport {
        let figure = |key: &str, label: &str, scale, value: f64| {
            Figure::new(key, label, scale, Better::Lower, Ok(value))
        };
        let row = ComparisonRow {
            name: text.into(),
            loss: text.into(),
            mark: Some(MeanFigure {
                name: "accuracy".into(),
                mean: 0.772,
                half_width: 0.012,
                over: IntervalOver::Seeds,
                of_runs: vec![0.77, 0.772, 0.774],
            }),
            figures: vec![
                figure("auc", "AUC", Scale::Digits(4), 0.8512),
                figure("eer", "EER", Scale::Percent, 0.2234),
                figure("min_dcf_0.01", "minDCF at P 0.01", Scale::Digits(4), 0.9),
                Figure::new("few", "never measured", Scale::Percent, Better::Higher, Err("why".into())),
                figure("first_loss", "first loss", Scale::Loss, 4.6049),
                figure("last_loss", "last loss", Scale::Loss, 1234.5),
                figure("images_per_second", "images/s", Scale::PerSecond, 1834.6),
                figure("seconds", "time", Scale::Seconds, 75.0),
            ],
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
            chance: Some(0.5),
            rows: vec![row, diverged],
            command: text.into(),
        }
    }

    #[test]
    fn all_text_is_escaped() {
        let page = comparison_page(&report(HOSTILE)).to_html();
        assert!(!page.contains("<script") && !page.contains("\"more\""));
        let body = &page[page.find("<body>").unwrap()..page.find("</html>").unwrap()];
        texts_of_well_formed(body);
        texts_of_well_formed(&comparison_picture(&report(HOSTILE)).to_svg());
    }

    #[test]
    fn the_page_refers_to_nothing_outside() {
        let page = comparison_page(&report("plain")).to_html();
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
            cells[0].join(","),
            "config,loss,accuracy,interval,AUC,EER,minDCF at P 0.01,first loss,last loss,images/s,time,remarks"
        );
        assert_eq!(
            cells[1].join("; "),
            "cosface; cosface; 77.20 %; ± 1.20, 3 seeds; 0.8512; 22.34 %; 0.9000; 4.605; 1,235; 1,835; 1 min 15 s; "
        );
        assert_eq!(cells[2].len(), cells[0].len());
        assert_eq!(cells[2][11], "seed 1: diverged at step 3; cosface");
        let fine = ComparisonReport { rows: vec![ComparisonRow::default()], ..ComparisonReport::default() };
        assert_eq!(fine.cells()[1].join(""), "–".repeat(2));
    }

    #[test]
    fn markdown_keeps_its_columns() {
        let text = comparison_markdown(&report(HOSTILE));
        let table: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        let columns = |line: &str| line.replace("\\|", "").matches('|').count();
        assert_eq!(table.len(), 4);
        assert!(table.iter().all(|line| columns(line) == 13), "{table:?}");
        assert!(text.contains("**Not under the same budget: "));
        let fair = ComparisonReport { unequal: Vec::new(), ..report("a") };
        assert!(!comparison_markdown(&fair).contains("budget"));
        assert!(!comparison_page(&fair).to_html().contains("budget"));
    }

    #[test]
    fn the_picture_names_rows_and_values() {
        let texts = texts_of_well_formed(&comparison_picture(&report("cosface")).to_svg());
        for text in ["cosface", "other", "77.2 %", "50 %", "accuracy", "chance", "no result"] {
            assert!(texts.iter().any(|t| t == text), "{text} in {texts:?}");
        }
        assert!(texts.iter().any(|t| t == "Accuracy, interval over 3 seeds"));
        texts_of_well_formed(&comparison_picture(&ComparisonReport::default()).to_svg());
        let mut wild = report("a");
        wild.rows[0].mark =
            Some(MeanFigure { mean: f64::NAN, half_width: f64::INFINITY, ..MeanFigure::default() });
        texts_of_well_formed(&comparison_picture(&wild).to_svg());
        // What a search finds by chance is not known.
        let search = ComparisonReport { chance: None, ..report("cosface") };
        let texts = texts_of_well_formed(&comparison_picture(&search).to_svg());
        assert!(!texts.iter().any(|text| text.contains("chance")), "{texts:?}");
    }

    #[test]
    fn wide_intervals_leave_the_dots_room() {
        let limits = |rows: &[ComparisonRow]| limits(rows, Some(0.5));
        let row = |mean, half_width| ComparisonRow {
            mark: Some(MeanFigure { mean, half_width, of_runs: vec![mean], ..MeanFigure::default() }),
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
