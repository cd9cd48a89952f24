//! The course of a training run: loss and accuracy over steps.

use crate::{
    chart::{Axis, Chart, LINEAR, Layer, Panel, extent, number, outward, percent, rounded},
    svg::{BLUE, Look, NEUTRAL, Picture, line_colour},
};

/// What [`loss_curve`] draws.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LossCurve {
    /// The title.
    pub title: String,
    /// What is counted along the x axis, such as `step`.
    pub x_label: String,
    /// The training loss at each step, as (step, loss); values that are not finite are left out.
    pub loss: Vec<(f64, f64)>,
    /// The loss that a network which knows nothing should have.
    pub expected_first_loss: Option<f64>,
    /// The name of each evaluation set and the accuracy on it, as (step, share from 0 to 1); the untrained network is step 0.
    pub accuracy: Vec<(String, Vec<(f64, f64)>)>,
}

/// Long runs are drawn with no more points than the picture can show.
const MAX_POINTS: usize = 1200;

/// The training loss, raw and smoothed, above the accuracies.
///
/// Smoothed means the mean over a window of 2 % of the points around each point. Without accuracies there is
/// one panel.
pub fn loss_curve(curve: &LossCurve) -> Picture {
    let loss = curve.loss.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite());
    let loss: Vec<(f64, f64)> = loss.collect();
    let accuracy = || curve.accuracy.iter().flat_map(|(_, points)| points);
    let expected = curve.expected_first_loss.filter(|loss| loss.is_finite());
    let steps = loss.iter().chain(accuracy()).map(|point| point.0);
    let x = extent(steps.chain([0.0]));

    let half = loss.len() / 100;
    let mut layers = match half {
        0 => vec![Layer::new(Look::line(BLUE), loss.clone()).named("loss")],
        _ => vec![
            Layer::new(Look::line(BLUE), smooth(&loss, half))
                .named(format!("loss, mean of {}", 2 * half + 1)),
            Layer::new(Look::pale(BLUE), thin(&loss)).named("each step"),
        ],
    };
    layers.extend(expected.map(|expected| {
        let name = format!("expected at first: {}", rounded(expected, 4));
        Layer::new(Look::dashed(NEUTRAL), [(x.0, expected), (x.1, expected)]).named(name)
    }));
    let (low, high) = extent(loss.iter().map(|point| point.1).chain(expected).chain([0.0]));
    let y = Axis::linear("training loss", (low, high * 1.05), 6, number);
    let below = Axis::linear(&curve.x_label, x, 6, number);
    let mut chart = Chart { title: curve.title.clone(), ..Chart::default() };
    if curve.accuracy.is_empty() {
        chart.panels.push(Panel::new([below, y], Some(380.0), layers));
        return chart.picture();
    }
    // The labels are those of the panel below.
    let above = Axis::new("", x, LINEAR, below.ticks.iter().map(|(place, _)| (*place, String::new())));
    chart.panels.push(Panel::new([above, y], Some(380.0), layers));
    let layers = curve.accuracy.iter().enumerate().flat_map(|(i, (name, points))| {
        let dots = Layer::new(Look::dots(line_colour(i + 1), 6.0), points.iter().copied());
        let line = Layer::new(Look::numbered(i + 1), points.iter().copied()).named(name);
        [line].into_iter().chain((points.len() <= 60).then_some(dots))
    });
    let (low, high) = outward(extent(accuracy().map(|point| point.1)), 0.05);
    let y = Axis::linear("accuracy", (low.max(0.0), high.min(1.0)), 5, percent);
    chart.panels.push(Panel::new([below, y], Some(220.0), layers));
    chart.picture()
}

/// The mean of a point and its `half` neighbours on either side, for as many points as the picture can show.
fn smooth(points: &[(f64, f64)], half: usize) -> Vec<(f64, f64)> {
    let width = 2 * half + 1;
    let mean = |window: &[(f64, f64)]| window.iter().map(|point| point.1).sum::<f64>() / width as f64;
    let step = points.len().div_ceil(MAX_POINTS);
    points.windows(width).step_by(step.max(1)).map(|window| (window[half].0, mean(window))).collect()
}

/// The lowest and highest point of each of equal stretches, in order: what a line through all would show.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MAX_POINTS {
        return points.to_vec();
    }
    points
        .chunks(points.len().div_ceil(MAX_POINTS / 2))
        .flat_map(|stretch| {
            let by_y = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
            let ends = stretch.iter().min_by(by_y).into_iter().chain(stretch.iter().max_by(by_y));
            let mut ends: Vec<_> = ends.copied().collect();
            ends.sort_by(|a, b| a.0.total_cmp(&b.0));
            ends
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts_of_well_formed;

    fn curve(steps: u32) -> LossCurve {
        LossCurve {
            title: "Training".into(),
            x_label: "step".into(),
            loss: (0..steps).map(|i| (f64::from(i), 10.0 * (-f64::from(i) / 500.0).exp())).collect(),
            expected_first_loss: Some(9.876_54),
            accuracy: vec![("LFW <1>".into(), vec![(0.0, 0.52), (f64::from(steps), 0.88)])],
        }
    }

    #[test]
    fn both_panels_are_labelled() {
        let texts = texts_of_well_formed(&loss_curve(&curve(2000)).to_svg());
        for text in [
            "Training",
            "training loss",
            "accuracy",
            "step",
            "expected at first: 9.877",
            "LFW &lt;1&gt;",
            "1,000",
            "0",
            "80 %",
        ] {
            assert!(texts.iter().any(|t| t == text), "{text} in {texts:?}");
        }
    }

    #[test]
    fn runs_of_any_length_are_drawn() {
        for steps in [0, 1, 2, 100_000] {
            let svg = loss_curve(&curve(steps)).to_svg();
            texts_of_well_formed(&svg);
            assert!(svg.len() < 200_000, "{steps} steps: {} bytes", svg.len());
        }
        let mut odd = curve(100);
        odd.loss[5].1 = f64::NAN;
        odd.loss[6].1 = f64::INFINITY;
        odd.accuracy.clear();
        odd.expected_first_loss = Some(f64::NAN);
        texts_of_well_formed(&loss_curve(&odd).to_svg());
        texts_of_well_formed(&loss_curve(&LossCurve::default()).to_svg());
    }

    #[test]
    fn smoothing_keeps_straight_lines() {
        let straight: Vec<_> = (0..50).map(|i| (f64::from(i), 3.0 - f64::from(i))).collect();
        let smoothed = smooth(&straight, 4);
        assert_eq!(smoothed.len(), 50 - 8);
        for (smoothed, point) in smoothed.iter().zip(&straight[4..]) {
            assert!(smoothed.0 == point.0 && (smoothed.1 - point.1).abs() < 1e-12);
        }
        assert_eq!(smooth(&[(0.0, 0.0), (1.0, 3.0), (2.0, 0.0)], 1), [(1.0, 1.0)]);
    }

    #[test]
    fn thinning_keeps_extremes() {
        let mut points: Vec<_> = (0..50_000).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        points[12_345].1 = 100.0;
        points[23_456].1 = -100.0;
        let thinned = thin(&points);
        assert!(thinned.len() <= MAX_POINTS);
        assert!(thinned.contains(&(12_345.0, 100.0)) && thinned.contains(&(23_456.0, -100.0)));
        assert!(thinned.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    }
}
