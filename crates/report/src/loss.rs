//! The course of a training run: loss and accuracy over steps.

use plotters::prelude::*;

use crate::{
    Series,
    chart::{
        Axes, BLUE, Chart, DrawError, Drawn, Mark, NEUTRAL, chart, draw, extent, finite, heading,
        line_colour, number, percent,
    },
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
    /// The accuracy on each evaluation set, as (step, share from 0 to 1); the untrained network is step 0.
    pub accuracy: Vec<Series>,
}

/// Long runs are drawn with no more points than the picture can show.
const MAX_POINTS: usize = 1200;

/// The training loss, raw and smoothed, above the accuracies, as SVG.
///
/// Smoothed means the mean over a window of 2 % of the points around each point. Without accuracies there is
/// one panel.
///
/// # Errors
/// If the drawing library fails.
pub fn loss_curve(curve: &LossCurve) -> Result<String, DrawError> {
    let panels = if curve.accuracy.is_empty() { 1 } else { 2 };
    draw("the loss curve", 640 + 380 * (panels - 1), |area| {
        let loss = finite(&curve.loss);
        let accuracy: Vec<Vec<_>> = curve.accuracy.iter().map(|series| finite(&series.points)).collect();
        let steps = loss.iter().chain(accuracy.iter().flatten()).map(|point| point.0);
        let x = extent(steps.chain([0.0]));

        let half = loss.len() / 100;
        let mut legend = vec![];
        if half > 0 {
            legend.push((Mark::Line(BLUE), format!("loss, mean of {}", 2 * half + 1)));
            legend.push((Mark::Pale(BLUE), "each step".into()));
        } else {
            legend.push((Mark::Line(BLUE), "loss".into()));
        }
        if let Some(expected) = curve.expected_first_loss.filter(|loss| loss.is_finite()) {
            legend.push((Mark::Dashed(NEUTRAL), format!("expected at first: {}", number(round(expected)))));
        }
        for (i, series) in curve.accuracy.iter().enumerate() {
            legend.push((Mark::Line(line_colour(i + 1)), series.name.clone()));
        }
        let area = heading(area, &curve.title, &legend)?;
        let height = area.dim_in_pixel().1;
        let lower = if panels == 2 { height * 2 / 5 } else { 0 };
        let (above, below) = area.split_vertically(height - lower);

        let highest = extent(loss.iter().map(|point| point.1).chain(curve.expected_first_loss).chain([0.0]));
        let mut axes = Axes {
            x,
            y: (highest.0, highest.1 * 1.05),
            x_label: if panels == 1 { &curve.x_label } else { "" },
            y_label: "training loss",
            x_ticks: 6,
            y_ticks: 6,
            x_format: &|x| number(*x),
            y_format: &|y| number(*y),
        };
        let mut panel = chart(&above, &axes)?;
        if half > 0 {
            line(&mut panel, thin(&loss), BLUE.mix(0.3).stroke_width(2))?;
            line(&mut panel, smooth(&loss, half), BLUE.stroke_width(5))?;
        } else {
            line(&mut panel, loss.clone(), BLUE.stroke_width(5))?;
        }
        if let Some(expected) = curve.expected_first_loss.filter(|loss| loss.is_finite()) {
            let level = [(x.0, expected), (x.1, expected)];
            panel.draw_series(DashedLineSeries::new(level, 12, 8, NEUTRAL.stroke_width(3)))?;
        }
        if panels == 1 {
            return Ok(());
        }

        let (low, high) = extent(accuracy.iter().flatten().map(|point| point.1));
        axes.y = (((low * 20.0).floor() / 20.0).max(0.0), ((high * 20.0).ceil() / 20.0).min(1.0));
        axes.x_label = &curve.x_label;
        axes.y_label = "accuracy";
        axes.y_ticks = 5;
        axes.y_format = &|y| percent(*y);
        let mut panel = chart(&below, &axes)?;
        for (i, points) in accuracy.iter().enumerate() {
            let colour = line_colour(i + 1);
            line(&mut panel, points.clone(), colour.stroke_width(4))?;
            if points.len() <= 60 {
                panel.draw_series(points.iter().map(|&point| Circle::new(point, 7, colour.filled())))?;
            }
        }
        Ok(())
    })
}

fn line(panel: &mut Chart, points: Vec<(f64, f64)>, style: ShapeStyle) -> Drawn<()> {
    panel.draw_series(LineSeries::new(points, style))?;
    Ok(())
}

/// Four significant digits.
fn round(value: f64) -> f64 {
    let digits = 10_f64.powi(3 - value.abs().max(1e-3).log10().floor() as i32);
    (value * digits).round() / digits
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
    use crate::chart::texts_of_well_formed;

    fn curve(steps: u32) -> LossCurve {
        LossCurve {
            title: "Training".into(),
            x_label: "step".into(),
            loss: (0..steps).map(|i| (f64::from(i), 10.0 * (-f64::from(i) / 500.0).exp())).collect(),
            expected_first_loss: Some(9.876_54),
            accuracy: vec![Series {
                name: "LFW <1>".into(),
                points: vec![(0.0, 0.52), (f64::from(steps), 0.88)],
            }],
        }
    }

    #[test]
    fn both_panels_are_labelled() {
        let texts = texts_of_well_formed(&loss_curve(&curve(2000)).unwrap());
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
            let svg = loss_curve(&curve(steps)).unwrap();
            texts_of_well_formed(&svg);
            assert!(svg.len() < 200_000, "{steps} steps: {} bytes", svg.len());
        }
        let mut odd = curve(100);
        odd.loss[5].1 = f64::NAN;
        odd.loss[6].1 = f64::INFINITY;
        odd.accuracy.clear();
        odd.expected_first_loss = Some(f64::NAN);
        texts_of_well_formed(&loss_curve(&odd).unwrap());
        texts_of_well_formed(&loss_curve(&LossCurve::default()).unwrap());
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
