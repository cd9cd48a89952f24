//! Curves of rates: ROC, DET and FNIR over false alarms, and the cumulative match characteristic.

use facegrad_results::ResultCurve;

use crate::{
    chart::{Axis, Chart, Layer, Panel, number, outward, percent, round_step},
    svg::{Look, NEUTRAL, Picture, line_colour},
};

/// A curve of a model.
#[derive(Debug, Clone, Copy)]
pub struct ModelCurve<'a> {
    /// The name, for the legend.
    pub name: &'a str,
    /// The number of its colour: that of the model in all pictures of a page.
    pub colour: usize,
    /// The points; those that are not finite are left out.
    pub curve: &'a ResultCurve,
}

/// The height of a panel.
const HEIGHT: f64 = 550.0;
/// Points in each unit of a scale, such as a decade.
const RESOLUTION: f64 = 300.0;

/// The true-accept rate over the logarithm of the false-accept rate.
///
/// At each false-accept rate a curve shows the true-accept rate of the best threshold that does not exceed
/// it, so it rises in steps. Where it rests on fewer than ten false accepts it is drawn pale. The axis reaches down to
/// the rate of a single false accept, over two to six decades.
pub fn roc_curve(title: &str, curves: &[ModelCurve]) -> Picture {
    let axes =
        [decades("false-accept rate", curves), Axis::linear("true-accept rate", (0.0, 1.0), 5, percent)];
    let lowest = axes[0].range.0;
    let chance = (0..=100).map(|i| lowest.powf(1.0 - f64::from(i) / 100.0)).map(|rate| (rate, rate));
    let chance = Some(("chance", chance.collect()));
    rates(title, curves, axes, "fewer than 10 false accepts", chance, |found| found)
}

/// The rate of mates that are missed over the logarithm of the rate of false alarms in open-set identification: FNIR
/// over FPIR, NIST's names.
///
/// The points of a curve are (FPIR, true-positive identification rate), which is one minus the FNIR. Drawn as
/// [`roc_curve`] is, upside down.
pub fn fnir_curve(title: &str, curves: &[ModelCurve]) -> Picture {
    let x = decades("false-positive identification rate (FPIR)", curves);
    let axes = [x, Axis::linear("FNIR", (0.0, 1.0), 5, percent)];
    rates(title, curves, axes, "fewer than 10 false alarms", None, |found| 1.0 - found)
}

/// The rate of genuine pairs that are rejected over that of impostors that are accepted.
///
/// Both axes are in normal deviates, so that scores of two normal distributions give a straight line (Martin et
/// al., *The DET curve in assessment of detection task performance*, Eurospeech 1997). The points of the curves
/// are those of [`roc_curve`].
pub fn det_curve(title: &str, curves: &[ModelCurve]) -> Picture {
    /// Where the axes have lines.
    const TICKS: [f64; 10] = [1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95];
    let points = || {
        curves.iter().flat_map(|model| &model.curve.points).filter(|(x, y)| x.is_finite() && y.is_finite())
    };
    // About the largest equal error rate: curves of weak models need more of the axes.
    let equal = points().map(|(far, tar)| far.min(1.0 - tar)).fold(0.0, f64::max);
    let highest = if equal > 0.3 { 0.95 } else { 0.5 };
    let fewest = points().map(|(_, tar)| 1.0 - tar).filter(|miss| *miss > 1e-6).fold(0.01, f64::min);
    let lowest_miss = TICKS.into_iter().rev().find(|tick| *tick <= fewest).unwrap_or(TICKS[0]);
    let axis = |label: &str, lowest: f64| {
        let ticks = TICKS.into_iter().filter(|rate| (lowest * 0.99..=highest).contains(rate));
        Axis::new(label, (lowest, highest), probit, ticks.map(|rate| (rate, percent(rate))))
    };
    let axes = [axis("false-accept rate", lowest_rate(curves)), axis("false-reject rate", lowest_miss)];
    let from = axes[0].range.0.max(lowest_miss);
    let equal = Some(("equal error rates", vec![(from, from), (highest, highest)]));
    rates(title, curves, axes, "fewer than 10 false accepts", equal, |found| 1.0 - found)
}

/// The share of probes whose mate is among the first candidates, over their number on a logarithmic axis.
///
/// The points of a curve are (rank, share from 0 to 1), ranks from 1 up. The axis of the shares begins near the
/// lowest of them.
pub fn cmc_curve(title: &str, curves: &[ModelCurve]) -> Picture {
    let mut layers = Vec::new();
    let (mut last, mut lowest) = (2.0_f64, 1.0_f64);
    for ModelCurve { name, colour, curve } in curves {
        let points = levels(curve.points.iter().filter(|point| point.0 >= 1.0), f64::log10);
        last = points.iter().map(|point| point.0).fold(last, f64::max);
        lowest = points.iter().map(|point| point.1).fold(lowest, f64::min);
        let dots = Some(points.clone()).filter(|points| points.len() <= 40);
        layers.push(Layer::new(Look::numbered(*colour), points).named(*name));
        layers.extend(dots.map(|points| Layer::new(Look::dots(line_colour(*colour), 6.0), points)));
    }
    let step = round_step((1.0 - lowest).clamp(0.01, 1.0), 8);
    let ranks = (0..9).flat_map(|power| [1, 2, 5].map(|factor| f64::from(factor * 10_i32.pow(power))));
    // Over many decades only their beginnings are labelled.
    let is_labelled = |rank: f64| last <= 2000.0 || rank.log10().fract() == 0.0;
    let write = |rank| if is_labelled(rank) { number(rank) } else { String::new() };
    let ticks = ranks.take_while(|rank| *rank <= last).map(|rank| (rank, write(rank)));
    let range = (outward((lowest.max(0.0), 1.0), step).0.min(1.0 - step), 1.0);
    let axes = [
        Axis::new("rank", (1.0, last), f64::log10, ticks),
        Axis::linear("found up to this rank", range, 8, percent),
    ];
    Chart::new(title, Panel::new(axes, Some(HEIGHT), layers)).picture()
}

/// Curves whose abscissa is the rate of false accepts: pale where they are `unsure`, beside a line for `reference`. `shown` is
/// the ordinate of a share that was found.
fn rates(
    title: &str,
    curves: &[ModelCurve],
    axes: [Axis; 2],
    unsure: &str,
    reference: Option<(&str, Vec<(f64, f64)>)>,
    shown: fn(f64) -> f64,
) -> Picture {
    let (lowest, highest) = axes[0].range;
    let (mut layers, mut pale) = (Vec::new(), vec![Layer::entry(Look::pale(NEUTRAL), unsure)]);
    for ModelCurve { name, colour, curve } in curves {
        let sure = (10.0 / curve.support.max(1) as f64).clamp(lowest, highest);
        let levels = levels(&curve.points, axes[0].scale);
        let line = |from, to| staircase(&levels, from, to).into_iter().map(|(rate, y)| (rate, shown(y)));
        layers.push(Layer::new(Look::numbered(*colour), line(sure, highest)).named(*name));
        pale.push(Layer::new(Look::pale(line_colour(*colour)), line(lowest, sure)));
    }
    layers.extend(pale);
    layers.extend(reference.map(|(name, points)| Layer::new(Look::dashed(NEUTRAL), points).named(name)));
    Chart::new(title, Panel::new(axes, Some(HEIGHT), layers)).picture()
}

/// The smallest rate that the largest curve can show, as a power of ten from 1e-2 to 1e-6.
fn lowest_rate(curves: &[ModelCurve]) -> f64 {
    let support = curves.iter().map(|model| model.curve.support).max().unwrap_or(0).max(1);
    10_f64.powf(-(support as f64).log10().ceil().clamp(2.0, 6.0))
}

/// A logarithmic axis up to 1 with its whole decades.
fn decades(label: &str, curves: &[ModelCurve]) -> Axis {
    let lowest = lowest_rate(curves);
    let powers = lowest.log10().round() as i32..=0;
    let ticks = powers.map(|power| 10_f64.powi(power)).map(|rate| (rate, percent(rate)));
    Axis::new(label, (lowest, 1.0), f64::log10, ticks)
}

/// The highest ordinate reached at each abscissa, with no more points than a picture can show.
fn levels<'a>(points: impl IntoIterator<Item = &'a (f64, f64)>, scale: fn(f64) -> f64) -> Vec<(f64, f64)> {
    let mut levels: Vec<(f64, f64)> = Vec::new();
    let mut before = f64::NAN;
    for &(x, y) in points.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite()) {
        let place = (scale(x) * RESOLUTION).round();
        match levels.last_mut() {
            Some(last) if before >= place => *last = (last.0.max(x), last.1.max(y)),
            _ => levels.push((x, y)),
        }
        before = place.max(before);
    }
    levels
}

/// The line that keeps each level up to the next, between two places; empty without levels.
fn staircase(levels: &[(f64, f64)], from: f64, to: f64) -> Vec<(f64, f64)> {
    if levels.is_empty() {
        return Vec::new();
    }
    let mut height = levels.iter().take_while(|level| level.0 <= from).last().map_or(0.0, |level| level.1);
    let mut line = vec![(from, height)];
    for &(x, next) in levels.iter().filter(|level| level.0 > from && level.0 <= to) {
        line.extend([(x, height), (x, next)]);
        height = next;
    }
    line.push((to, height));
    line
}

/// The normal deviate that a share of the standard normal distribution lies below, within 5e-4: Abramowitz &
/// Stegun 26.2.23, more than a picture shows. Infinite at 0 and 1.
fn probit(share: f64) -> f64 {
    if share > 0.5 {
        return -probit(1.0 - share);
    }
    if share <= 0.0 {
        return f64::NEG_INFINITY;
    }
    let t = (-2.0 * share.ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    above / below - t
}

#[cfg(test)]
mod tests {
    use facegrad_results::CurveKind;

    use super::*;
    use crate::testing::texts_of_well_formed;

    fn result(points: Vec<(f64, f64)>, support: usize) -> ResultCurve {
        ResultCurve { kind: CurveKind::Roc, points, support }
    }

    fn rising(support: usize, power: f64) -> ResultCurve {
        let rate = |i: usize| i as f64 / support as f64;
        result((0..=support).map(|i| (rate(i), rate(i).powf(power))).collect(), support)
    }

    fn ranks(last: u32, first: f64) -> ResultCurve {
        let share = |rank: u32| 1.0 - (1.0 - first) / f64::from(rank);
        result((1..=last).map(|rank| (f64::from(rank), share(rank))).collect(), 0)
    }

    type Draw = fn(&str, &[ModelCurve]) -> Picture;

    /// The picture of these curves, and its texts.
    fn drawn(draw: Draw, curves: &[ResultCurve]) -> (String, Vec<String>) {
        let model = |(colour, curve)| ModelCurve { name: "LFW & <more>", colour, curve };
        let models: Vec<ModelCurve> = curves.iter().enumerate().map(model).collect();
        let svg = draw("View 1", &models).to_svg();
        let texts = texts_of_well_formed(&svg);
        (svg, texts)
    }

    #[test]
    fn axes_and_legend_are_labelled() {
        let names = ["View 1", "LFW &amp; &lt;more&gt;"];
        let roc = ["0.01 %", "0.1 %", "1 %", "10 %", "100 %", "false-accept rate", "chance"];
        let det = ["0.01 %", "1 %", "50 %", "false-reject rate", "equal error rates"];
        let fnir = ["FNIR", "false-positive identification rate (FPIR)", "0.1 %"];
        let cmc = ["1", "2", "5", "10", "20", "50", "100", "60 %", "100 %", "rank"];
        let curves = [rising(500, 0.2), rising(3000, 0.02)];
        for (draw, curves, expected) in [
            (roc_curve as Draw, &curves, &roc[..]),
            (det_curve, &curves, &det),
            (fnir_curve, &curves, &fnir),
            (cmc_curve, &[ranks(100, 0.62), ranks(20, 0.9)], &cmc),
        ] {
            let (_, texts) = drawn(draw, curves);
            for text in names.iter().chain(expected) {
                assert!(texts.iter().any(|t| t == text), "{text} in {texts:?}");
            }
        }
        assert!(!drawn(cmc_curve, &[ranks(100, 0.62)]).1.iter().any(|text| text == "50 %"));
        assert!(!drawn(fnir_curve, &curves).1.iter().any(|text| text == "chance"));
    }

    #[test]
    fn any_points_are_drawn() {
        let curves = [
            result(vec![], 0),
            result(vec![(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)], 10_000_000),
            result(vec![(0.0, 0.0), (1.0, 1.0)], 3),
            result(vec![(f64::NAN, 0.1), (0.5, 0.5), (3.0, f64::NAN), (0.0, 0.1)], 100),
            rising(100_000, 0.2),
            ranks(1, 1.0),
            ranks(1_000_000, 0.0),
        ];
        for draw in [roc_curve, det_curve, fnir_curve, cmc_curve] {
            drawn(draw, &curves);
            drawn(draw, &[]);
            for (i, curve) in curves.iter().enumerate() {
                let (svg, _) = drawn(draw, std::slice::from_ref(curve));
                assert!(svg.len() < 200_000, "curve {i}: {} bytes", svg.len());
            }
        }
    }

    #[test]
    fn missed_mates_fall_as_alarms_rise() {
        let (svg, _) = drawn(fnir_curve, &[result(vec![(0.0, 0.2), (1.0, 1.0)], 1000)]);
        // In a picture, up is less: the line goes down from left to right.
        let line = svg.split("<polyline").filter(|l| l.contains("stroke-width=\"5\"")).last().unwrap();
        let points = line.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        let heights: Vec<f64> =
            points.split_whitespace().map(|p| p.split_once(',').unwrap().1.parse().unwrap()).collect();
        assert!(heights.windows(2).all(|h| h[0] <= h[1]) && heights[0] < *heights.last().unwrap());
    }

    #[test]
    fn the_staircase_never_shows_more_than_was_reached() {
        let points = [(0.0, 0.2), (0.0, 0.4), (0.01, 0.5), (0.1, 0.5), (0.1, 0.9), (1.0, 1.0)];
        let levels = levels(&points, f64::log10);
        assert_eq!(levels, [(0.0, 0.4), (0.01, 0.5), (0.1, 0.9), (1.0, 1.0)]);
        assert_eq!(staircase(&levels, 1e-3, 0.05), [(1e-3, 0.4), (0.01, 0.4), (0.01, 0.5), (0.05, 0.5)]);
        assert_eq!(
            staircase(&levels, 0.05, 1.0),
            [(0.05, 0.5), (0.1, 0.5), (0.1, 0.9), (1.0, 0.9), (1.0, 1.0), (1.0, 1.0)]
        );
        assert_eq!(staircase(&[], 0.1, 1.0), []);
    }

    #[test]
    fn points_that_a_picture_cannot_show_are_joined_where_they_are_reached() {
        let close = [(0.1, 0.3), (0.100_01, 0.4), (0.100_02, 0.5), (0.2, 0.6)];
        assert_eq!(levels(&close, f64::log10), [(0.100_02, 0.5), (0.2, 0.6)]);
    }

    #[test]
    fn deviates_are_those_of_the_tables() {
        for (share, deviate) in [
            (0.5, 0.0),
            (0.158_655_25, -1.0),
            (0.975, 1.959_963_98),
            (0.01, -2.326_347_87),
            (1e-3, -3.090_232_31),
            (1e-6, -4.753_424_31),
        ] {
            assert!((probit(share) - deviate).abs() < 5e-4, "{share}: {}", probit(share));
        }
        assert_eq!((probit(0.0), probit(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
    }
}
