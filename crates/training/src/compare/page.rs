//! What a comparison found, for people: a table, a page and Markdown.

use facegrad_report::{Block, Drawing, Page, PageSection, Picture, mean_figures};
use facegrad_results::{Figure, ResultTable, Scale, numbers::percent};

use super::{ComparisonTable, ConfigRow, table::mean};

/// What stands for a number that there is none of.
const NONE: &str = "–";

/// What the intervals are, below a table.
const INTERVALS: &str = "Intervals are of 95 %: over seeds by Student's t; over the folds of a single run 1.96 \
    standard errors, which says nothing of other seeds. All other numbers are means over the seeds. A loss \
    holds the margin and scale of its head, so it compares with the loss expected of random features, not \
    with that of another head.";

impl ComparisonTable {
    /// The table as text, with a remark for each row, which may be empty. A figure that no row has measured has no
    /// column.
    pub fn results(&self) -> ResultTable {
        let mut columns: Vec<(&str, &str)> = Vec::new();
        for figure in self.rows.iter().flat_map(|row| &row.figures.0).filter(|figure| figure.value.is_some())
        {
            if columns.iter().all(|(key, _)| *key != figure.key) {
                columns.push((&figure.key, &figure.label));
            }
        }
        let header = ["config", "loss", self.figure(), "interval"].into_iter();
        let row = |row: &ConfigRow| {
            let mark = row.accuracy.as_ref();
            let interval = mark.and_then(|mark| Some((mark.half_width * 100.0, mark.over()?)));
            let mut cells = vec![
                row.config.clone(),
                row.loss.clone(),
                mark.map_or_else(|| NONE.into(), |mark| Scale::Percent.write(mark.mean)),
                interval
                    .map_or_else(|| NONE.into(), |(half_width, over)| format!("± {half_width:.2}, {over}")),
            ];
            cells.extend(columns.iter().map(|(key, _)| {
                let figure = row.figures.0.iter().find(|figure| figure.key == *key);
                figure.map_or_else(|| NONE.into(), Figure::text)
            }));
            cells
        };
        ResultTable {
            header: header.chain(columns.iter().map(|(_, label)| *label)).map(str::to_owned).collect(),
            rows: self.rows.iter().map(row).collect(),
            remarks: self.rows.iter().map(|row| row.remarks().join("; ")).collect(),
            ..ResultTable::default()
        }
    }

    /// The comparison as a page: the picture, the table, and the command.
    pub(super) fn page(&self) -> Page {
        let description = format!("{} of each config with its interval", self.figure());
        let blocks = vec![
            Block::Drawings(vec![Drawing::new(self.picture(), description)]),
            Block::Table(self.results()),
            Block::Note(INTERVALS.into()),
            Block::Command(self.command.clone()),
        ];
        Page {
            title: self.title(),
            facts: self.facts(),
            warnings: self.warning().into_iter().collect(),
            sections: vec![PageSection { title: "Comparison".into(), blocks }],
        }
    }

    /// The figure of each row with its interval, beside what guessing reaches where half of the answers are yes.
    pub(super) fn picture(&self) -> Picture {
        let is_of_pairs = |row: &ConfigRow| {
            row.accuracy.as_ref().is_none_or(|a| ["accuracy", "AUC"].contains(&a.name.as_str()))
        };
        let rows: Vec<_> = self.rows.iter().map(|row| (row.config.clone(), row.accuracy.clone())).collect();
        mean_figures(&rows, self.rows.iter().all(is_of_pairs).then_some(0.5))
    }

    /// The comparison as Markdown: what holds for all, the picture as the file `compare.svg`, and the table.
    pub(super) fn markdown(&self) -> String {
        let plain = |text: &str| text.replace('|', "\\|").replace(['\n', '\r'], " ");
        let mut text = format!("# {}\n\n{}\n", plain(&self.title()), plain(&self.facts().join(" · ")));
        text.extend(self.warning().map(|warning| format!("\n**{}**\n", plain(&warning))));
        text.push_str(&format!("\n![{}](compare.svg)\n\n", self.figure()));
        let ResultTable { mut header, mut rows, remarks, .. } = self.results();
        let mut rules: Vec<&str> =
            (0..header.len()).map(|column| if column < 2 { "---" } else { "---:" }).collect();
        if remarks.iter().any(|remark| !remark.is_empty()) {
            header.push("remarks".into());
            rules.push("---");
            rows.iter_mut().zip(remarks).for_each(|(row, remark)| row.push(remark));
        }
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| plain(cell)).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        text.push_str(&format!("{}|{}|\n", line(&header), rules.join("|")));
        text.extend(rows.iter().map(|row| line(row)));
        text.push_str(&format!("\n{INTERVALS}\n"));
        if !self.command.is_empty() {
            text.push_str(&format!("\n    {}\n", plain(&self.command)));
        }
        text
    }

    fn title(&self) -> String {
        format!("{} configs compared", self.rows.len())
    }

    /// What the compared figure is called.
    fn figure(&self) -> &str {
        let name = self.rows.iter().find_map(|row| Some(row.accuracy.as_ref()?.name.as_str()));
        name.unwrap_or("accuracy")
    }

    /// What holds for all runs.
    fn facts(&self) -> Vec<String> {
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        let mut facts = vec![
            format!("{} steps a run", self.steps),
            format!("seed{} {}", if seeds.len() == 1 { "" } else { "s" }, seeds.join(", ")),
        ];
        facts.push(match &self.protocol {
            Some(protocol) if protocol.starts_with(&self.evaluation) => protocol.clone(),
            Some(protocol) => format!("{}: {protocol}", self.evaluation),
            None => self.evaluation.clone(),
        });
        facts.extend(self.backends.iter().cloned());
        if self.runs_over < self.runs {
            facts.push(format!("{} of {} runs so far", self.runs_over, self.runs));
        }
        let untrained: Vec<f64> = self.rows.iter().filter_map(|row| row.untrained).collect();
        facts.extend(mean(&untrained).map(|share| format!("untrained networks {}", percent(share))));
        facts
    }

    /// The sentence about what is not equal; nothing for a fair comparison.
    fn warning(&self) -> Option<String> {
        let unequal = self.differences.join("; ");
        (!unequal.is_empty()).then(|| format!("Not under the same budget: {unequal}."))
    }
}

#[cfg(test)]
mod tests {
    use facegrad_results::{Better, IntervalOver, MeanFigure};

    use super::*;
    use crate::compare::{MeanFigures, RunRecord, RunState};

    const HOSTILE: &str = "<script>alert('1')</script> & \"more\" | x";

    fn comparison(text: &str) -> ComparisonTable {
        let figure = |key: &str, label: &str, scale, value: f64| {
            Figure::new(key, label, scale, Better::Lower, Ok(value))
        };
        let figures = vec![
            figure("auc", "AUC", Scale::Digits(4), 0.8512),
            figure("eer", "EER", Scale::Percent, 0.2234),
            Figure::new("few", "never measured", Scale::Percent, Better::Higher, Err("why".into())),
            figure("first_loss", "first loss", Scale::Loss, 4.6049),
            figure("last_loss", "last loss", Scale::Loss, 1234.5),
            figure("images_per_second", "images/s", Scale::PerSecond, 1834.6),
            figure("seconds", "time", Scale::Seconds, 75.0),
        ];
        let accuracy = MeanFigure {
            name: "accuracy".into(),
            mean: 0.772,
            half_width: 0.012,
            over: IntervalOver::Seeds,
            of_runs: vec![0.77, 0.772, 0.774],
        };
        let row = |config: &str, loss: &str, accuracy, figures, runs| ConfigRow {
            config: config.into(),
            loss: loss.into(),
            accuracy,
            untrained: None,
            figures: MeanFigures(figures),
            runs,
        };
        let run = |seed, state| RunRecord { config: "other".into(), seed, folder: None, state };
        let runs = vec![
            run(1, RunState::Diverged { step: 3, reason: text.into() }),
            run(2, RunState::Waiting { step: 0 }),
        ];
        ComparisonTable {
            steps: 300,
            seeds: vec![1, 2],
            evaluation: text.into(),
            protocol: None,
            backends: [text.into()].into(),
            runs_over: 1,
            runs: 2,
            differences: vec![text.into(), "run.batch is 8, but 9 in a".into()],
            rows: vec![
                row(text, text, Some(accuracy), figures, Vec::new()),
                row("other", "softmax", None, Vec::new(), runs),
            ],
            facegrad: "",
            command: text.into(),
        }
    }

    #[test]
    fn every_line_of_the_table_has_every_column() {
        let table = comparison("cosface").results();
        assert_eq!(
            table.header.join(","),
            "config,loss,accuracy,interval,AUC,EER,first loss,last loss,images/s,time"
        );
        assert_eq!(
            table.rows[0].join("; "),
            "cosface; cosface; 77.20 %; ± 1.20, 3 seeds; 0.8512; 22.34 %; 4.605; 1,235; 1,835; 1 min 15 s"
        );
        assert_eq!(table.rows[1].join(""), format!("othersoftmax{}", NONE.repeat(8)));
        assert_eq!(table.remarks, ["", "seed 1: diverged at step 3, cosface; seed 2: not trained yet"]);
    }

    #[test]
    fn markdown_keeps_its_columns() {
        let mut comparison = comparison(HOSTILE);
        let text = comparison.markdown();
        let table: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        let columns = |line: &str| line.replace("\\|", "").matches('|').count();
        assert_eq!(table.len(), 4);
        assert!(table.iter().all(|line| columns(line) == 12), "{table:?}");
        assert!(text.contains("**Not under the same budget: ") && text.contains("| remarks |"));
        comparison.differences.clear();
        comparison.rows[1].runs.clear();
        let fair = comparison.markdown();
        assert!(!fair.contains("budget") && !fair.contains("remarks"), "{fair}");
    }

    #[test]
    fn the_page_shows_all_and_nothing_is_markup() {
        let page = comparison(HOSTILE).page().to_html();
        assert!(!page.contains("<script") && !page.contains("\"more\""));
        for text in [
            "77.20 %",
            "no result",
            "Not under the same budget",
            "seed 2: not trained yet",
            "1 of 2 runs so far",
        ] {
            assert!(page.contains(text), "{text} in {page}");
        }
        let plain = comparison("plain").page().to_html();
        for word in ["http:", "https:", "//", "url(", "@import", "src=", "href=", "<link", "<script", "<img"]
        {
            assert!(!plain.contains(word), "{word}");
        }
    }
}
