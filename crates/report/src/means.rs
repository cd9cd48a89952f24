//! One figure of several models, with intervals.

use facegrad_results::MeanFigure;

use crate::{
    chart::{Axis, Chart, LINEAR, Layer, Panel, number, percent},
    svg::{BLUE, Look, NEUTRAL, Picture},
};

/// The figure of each named row as a dot with its interval, that of each run as a circle, and a line for `chance`, what
/// guessing would reach. An interval that leaves the axis has no end there.
pub fn mean_figures(rows: &[(String, Option<MeanFigure>)], chance: Option<f64>) -> Picture {
    let figure = rows.iter().find_map(|row| Some(row.1.as_ref()?.name.as_str())).unwrap_or("accuracy");
    let count = rows.len().max(1) as f64;
    let (dot, ring) =
        (Look::dots(BLUE, 12.0), Look::Markers { colour: NEUTRAL, shape: 0, radius: 9.0, fill: 0.0 });
    let has_seeds = marks(rows).any(|mark| mark.of_runs.len() > 1);
    let range = limits(rows, chance);
    let is_shown = |share: &f64| (range.0..=range.1).contains(share);
    let mut layers = vec![
        Layer::entry(dot.clone(), if has_seeds { "mean over seeds" } else { "one seed" }),
        Layer::entry(Look::line(BLUE), "95 % interval"),
    ];
    layers.extend(has_seeds.then(|| Layer::entry(ring.clone(), "one seed")));
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for (i, (name, mark)) in rows.iter().enumerate() {
        let y = count - 0.5 - i as f64;
        names.push((y, name.clone()));
        let Some(mark) = mark.as_ref().filter(|mark| mark.mean.is_finite()) else {
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
        let lines = bars.chain([ends.map(|end| (end.clamp(range.0, range.1), y))]);
        layers.extend(lines.map(|line| Layer::new(Look::line(BLUE), line)));
    }
    let mut label = figure.to_owned();
    match chance {
        Some(chance) if is_shown(&chance) => {
            let line = [(chance, 0.0), (chance, count)];
            layers.push(Layer::new(Look::dashed(NEUTRAL), line).named("chance"));
        }
        Some(chance) => label = format!("{label} ({} % is chance)", number(chance * 100.0)),
        None => {}
    }
    let axes = [Axis::linear(&label, range, 8, percent), Axis::new("", (0.0, count), LINEAR, names)];
    let panel = Panel { beside: values, ..Panel::new(axes, Some(58.0 * count), layers) };
    Chart::new(&title(figure, rows), panel).picture()
}

/// All that could be measured.
fn marks(rows: &[(String, Option<MeanFigure>)]) -> impl Iterator<Item = &MeanFigure> {
    rows.iter().filter_map(|row| row.1.as_ref()).filter(|mark| mark.mean.is_finite())
}

/// The figure, and what the intervals are over if they are all over the same.
fn title(figure: &str, rows: &[(String, Option<MeanFigure>)]) -> String {
    let (first, rest) = figure.split_at(figure.chars().next().map_or(0, char::len_utf8));
    let figure = format!("{}{rest}", first.to_uppercase());
    let over = marks(rows)
        .next()
        .and_then(MeanFigure::over)
        .filter(|over| marks(rows).all(|mark| mark.over().as_ref() == Some(over)));
    over.map_or(figure.clone(), |over| format!("{figure}, interval over {over}"))
}

/// The ends of the axis: every run and every interval, but nothing below 0 or above 1, and no more of an interval
/// than the dots would bear; and chance, unless that would press several rows into a corner.
fn limits(rows: &[(String, Option<MeanFigure>)], chance: Option<f64>) -> (f64, f64) {
    let dots = || marks(rows).flat_map(|mark| mark.of_runs.iter().copied().chain([mark.mean]));
    let ends = |numbers: &mut dyn Iterator<Item = f64>| {
        numbers.fold((1.0_f64, 0.0_f64), |(low, high), x| (low.min(x), high.max(x)))
    };
    let (lowest, highest) = ends(&mut dots());
    let is_far =
        |chance: f64| marks(rows).count() > 1 && lowest - chance > 3.0 * (highest - lowest).max(0.01);
    let (low, high) = match chance {
        Some(chance) if !is_far(chance) => (lowest.min(chance), highest.max(chance)),
        // Nothing to show at all.
        _ if lowest > highest => (highest, lowest),
        _ => (lowest, highest),
    };
    // Student's t of two seeds is 12.7 standard errors: such bars would leave the dots no room.
    let room = (high - low).max(0.02);
    let bars = marks(rows).flat_map(|mark| [mark.mean - mark.half_width, mark.mean + mark.half_width]);
    let (bar_low, bar_high) = ends(&mut bars.filter(|end| end.is_finite()));
    let low = low.min(bar_low.max(low - room / 2.0)) - room * 0.04;
    let high = high.max(bar_high.min(high + room / 2.0)) + room * 0.04;
    (low.max(0.0), high.min(1.0))
}

#[cfg(test)]
mod tests {
    use facegrad_results::IntervalOver;

    use super::*;
    use crate::testing::texts_of_well_formed;

    fn mark(mean: f64, half_width: f64, of_runs: &[f64]) -> Option<MeanFigure> {
        let over = IntervalOver::Seeds;
        Some(MeanFigure { name: "accuracy".into(), mean, half_width, over, of_runs: of_runs.into() })
    }

    fn texts(rows: &[(String, Option<MeanFigure>)], chance: Option<f64>) -> Vec<String> {
        texts_of_well_formed(&mean_figures(rows, chance).to_svg())
    }

    #[test]
    fn the_picture_names_rows_and_values() {
        let rows = [
            ("<cosface> & co".to_owned(), mark(0.772, 0.012, &[0.77, 0.772, 0.774])),
            ("other".to_owned(), None),
        ];
        let found = texts(&rows, Some(0.5));
        for text in ["&lt;cosface&gt; &amp; co", "other", "77.2 %", "50 %", "accuracy", "chance", "no result"]
        {
            assert!(found.iter().any(|t| t == text), "{text} in {found:?}");
        }
        assert!(found.iter().any(|t| t == "Accuracy, interval over 3 seeds"));
        // What a search finds by chance is not known.
        let found = texts(&rows, None);
        assert!(!found.iter().any(|text| text.contains("chance")), "{found:?}");
        assert_eq!(texts(&[], None)[0], "Accuracy");
        texts(&[("wild".to_owned(), mark(f64::NAN, f64::INFINITY, &[]))], Some(0.5));
        // An interval without an end is as long as the axis.
        let wide =
            mean_figures(&[("wide".to_owned(), mark(0.7, f64::INFINITY, &[f64::NAN]))], Some(0.5)).to_svg();
        assert_eq!(wide.matches("stroke=\"#1F6FB2\" stroke-width=\"5\"").count(), 2, "{wide}");
    }

    #[test]
    fn wide_intervals_leave_the_dots_room() {
        let limits = |rows: &[(f64, f64)]| {
            let rows =
                rows.iter().map(|(mean, half_width)| (String::new(), mark(*mean, *half_width, &[*mean])));
            limits(&rows.collect::<Vec<_>>(), Some(0.5))
        };
        let (low, high) = limits(&[(0.7, 0.6)]);
        assert!(low > 0.35 && low < 0.5 && high > 0.75 && high < 0.85, "{low} {high}");
        let (low, high) = limits(&[(0.7, 0.01), (0.99, 0.1)]);
        assert!(low < 0.5 && high == 1.0);
        let (low, high) = limits(&[]);
        assert!(low < 0.5 && high > 0.5);
        // Far above chance the differences are what is looked for.
        let (low, high) = limits(&[(0.93, 0.01), (0.97, 0.01)]);
        assert!(low > 0.9 && high < 1.0, "{low} {high}");
    }
}
