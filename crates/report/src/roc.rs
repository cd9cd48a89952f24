//! The receiver operating characteristic with a logarithmic false-accept rate.

use plotters::prelude::*;

use crate::chart::{Axes, DrawError, Mark, NEUTRAL, chart, draw, finite, heading, line_colour, percent};

/// A curve of [`roc_curve`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RocSeries {
    /// The name, for the legend.
    pub name: String,
    /// The points, as (FAR, TAR), both from 0 to 1 and rising.
    pub points: Vec<(f64, f64)>,
    /// The number of impostor pairs: below 10 / `impostors` the curve rests on fewer than ten false accepts
    /// and is drawn pale.
    pub impostors: usize,
}

/// Points in each decade of the axis.
const RESOLUTION: f64 = 300.0;

/// The true-accept rate over the logarithm of the false-accept rate, as SVG.
///
/// At each false-accept rate a curve shows the true-accept rate of the best threshold that does not exceed
/// it, so it rises in steps. The axis reaches down to the rate of a single false accept, over two to six
/// decades.
///
/// # Errors
/// If the drawing library fails.
pub fn roc_curve(title: &str, curves: &[RocSeries]) -> Result<String, DrawError> {
    draw("the ROC curve", 820, |area| {
        let impostors = curves.iter().map(|curve| curve.impostors).max().unwrap_or(0).max(1);
        let lowest = -(impostors as f64).log10().ceil().clamp(2.0, 6.0);

        let mut legend: Vec<_> = curves
            .iter()
            .enumerate()
            .map(|(i, curve)| (Mark::Line(line_colour(i)), curve.name.clone()))
            .collect();
        legend.push((Mark::Pale(NEUTRAL), "fewer than 10 false accepts".into()));
        legend.push((Mark::Dashed(NEUTRAL), "chance".into()));
        let area = heading(area, title, &legend)?;
        let axes = Axes {
            x: (lowest, 0.0),
            y: (0.0, 1.0),
            x_label: "false-accept rate",
            y_label: "true-accept rate",
            x_ticks: 1 + -lowest as usize,
            y_ticks: 6,
            // Only whole powers of ten are labelled.
            x_format: &|x| {
                if (x - x.round()).abs() < 1e-6 { percent(10_f64.powf(*x)) } else { String::new() }
            },
            y_format: &|y| percent(*y),
        };
        let mut panel = chart(&area, &axes)?;
        let chance = (0..=100).map(|i| lowest * (1.0 - f64::from(i) / 100.0)).map(|x| (x, 10_f64.powf(x)));
        panel.draw_series(DashedLineSeries::new(chance, 12, 8, NEUTRAL.stroke_width(3)))?;
        for (i, curve) in curves.iter().enumerate() {
            let colour = line_colour(i);
            let sure = (10.0 / curve.impostors.max(1) as f64).min(1.0).log10().max(lowest);
            let levels = levels(&finite(&curve.points), lowest);
            let (pale, full) = (staircase(&levels, lowest, sure), staircase(&levels, sure, 0.0));
            panel.draw_series(LineSeries::new(pale, colour.mix(0.4).stroke_width(3)))?;
            panel.draw_series(LineSeries::new(full, colour.stroke_width(5)))?;
        }
        Ok(())
    })
}

/// The true-accept rate reached at each log10 FAR, rounded to what the picture can show.
fn levels(points: &[(f64, f64)], lowest: f64) -> Vec<(f64, f64)> {
    let mut levels: Vec<(f64, f64)> = Vec::new();
    for &(far, tar) in points {
        // A rate of zero, whose logarithm is minus infinity, lies at the left edge.
        let x = ((far.log10() * RESOLUTION).round() / RESOLUTION).clamp(lowest, 0.0);
        match levels.last_mut() {
            Some(last) if last.0 >= x => last.1 = last.1.max(tar),
            _ => levels.push((x, tar)),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::texts_of_well_formed;

    fn curve(impostors: usize) -> RocSeries {
        let points =
            (0..=impostors).map(|i| i as f64 / impostors as f64).map(|far| (far, far.powf(0.2))).collect();
        RocSeries { name: "LFW & more".into(), points, impostors }
    }

    #[test]
    fn axes_and_legend_are_labelled() {
        let texts = texts_of_well_formed(&roc_curve("View 1", &[curve(500), curve(3000)]).unwrap());
        for text in [
            "View 1",
            "LFW &amp; more",
            "0.01 %",
            "0.1 %",
            "1 %",
            "10 %",
            "100 %",
            "false-accept rate",
            "chance",
        ] {
            assert!(texts.iter().any(|t| t == text), "{text} in {texts:?}");
        }
    }

    #[test]
    fn any_number_of_points_is_drawn() {
        for impostors in [1, 10, 100_000] {
            let svg = roc_curve("a", &[curve(impostors)]).unwrap();
            texts_of_well_formed(&svg);
            assert!(svg.len() < 200_000, "{impostors} impostors: {} bytes", svg.len());
        }
        texts_of_well_formed(&roc_curve("none", &[]).unwrap());
        texts_of_well_formed(&roc_curve("empty", &[RocSeries::default()]).unwrap());
    }

    #[test]
    fn the_staircase_never_shows_more_than_was_reached() {
        let levels = levels(&[(0.0, 0.2), (0.0, 0.4), (0.01, 0.5), (0.1, 0.5), (0.1, 0.9), (1.0, 1.0)], -3.0);
        assert_eq!(levels, [(-3.0, 0.4), (-2.0, 0.5), (-1.0, 0.9), (0.0, 1.0)]);
        assert_eq!(staircase(&levels, -3.0, -1.5), [(-3.0, 0.4), (-2.0, 0.4), (-2.0, 0.5), (-1.5, 0.5)]);
        assert_eq!(
            staircase(&levels, -1.5, 0.0),
            [(-1.5, 0.5), (-1.0, 0.5), (-1.0, 0.9), (0.0, 0.9), (0.0, 1.0), (0.0, 1.0)]
        );
        assert_eq!(staircase(&[], -1.0, 0.0), []);
    }
}
