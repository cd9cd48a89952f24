//! The receiver operating characteristic with a logarithmic false-accept rate.

use plotters::prelude::*;

use crate::chart::{
    Axes, DrawError, Mark, NEUTRAL, chart, draw, draw_line, finite, heading, line_colour, line_mark, percent,
};

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
    roc_picture(title, &numbered(curves))
}

/// The rate of mates that are missed over the logarithm of the rate of false alarms in open-set identification,
/// as SVG: FNIR over FPIR, NIST's names.
///
/// The points of a curve are (FPIR, true-positive identification rate), which is one minus the FNIR; its
/// `impostors` are the searches without a mate in the gallery. Drawn as [`roc_curve`] is, upside down.
///
/// # Errors
/// If the drawing library fails.
pub fn fnir_curve(title: &str, curves: &[RocSeries]) -> Result<String, DrawError> {
    fnir_picture(title, &numbered(curves))
}

/// A curve and the number of its colour.
pub(crate) type Numbered<'a> = (usize, &'a RocSeries);

pub(crate) fn numbered(curves: &[RocSeries]) -> Vec<Numbered<'_>> {
    curves.iter().enumerate().collect()
}

pub(crate) fn roc_picture(title: &str, curves: &[Numbered]) -> Result<String, DrawError> {
    let labels = ["the ROC curve", "false-accept rate", "true-accept rate", "fewer than 10 false accepts"];
    over_logarithm(title, curves, labels, Direction::Rising)
}

pub(crate) fn fnir_picture(title: &str, curves: &[Numbered]) -> Result<String, DrawError> {
    let x_label = "false-positive identification rate (FPIR)";
    let labels = ["the FNIR curve", x_label, "FNIR", "fewer than 10 false alarms"];
    over_logarithm(title, curves, labels, Direction::Falling)
}

/// Whether the rate of what was found is shown, beside that of chance, or the rate of what was missed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Rising,
    Falling,
}

fn over_logarithm(
    title: &str,
    curves: &[Numbered],
    [picture, x_label, y_label, unsure]: [&'static str; 4],
    direction: Direction,
) -> Result<String, DrawError> {
    draw(picture, 820, |area| {
        let lowest = lowest_decade(curves);
        let mut legend: Vec<_> =
            curves.iter().map(|(i, curve)| (line_mark(*i), curve.name.clone())).collect();
        legend.push((Mark::Pale(NEUTRAL), unsure.into()));
        if direction == Direction::Rising {
            legend.push((Mark::Dashed(NEUTRAL), "chance".into()));
        }
        let area = heading(area, title, &legend)?;
        let axes = Axes {
            x: (lowest, 0.0),
            y: (0.0, 1.0),
            x_label,
            y_label,
            x_ticks: 1 + -lowest as usize,
            y_ticks: 6,
            // Only whole powers of ten are labelled.
            x_format: &|x| {
                if (x - x.round()).abs() < 1e-6 { percent(10_f64.powf(*x)) } else { String::new() }
            },
            y_format: &|y| percent(*y),
        };
        let mut panel = chart(&area, &axes)?;
        if direction == Direction::Rising {
            let places = (0..=100).map(|i| lowest * (1.0 - f64::from(i) / 100.0));
            let chance = places.map(|x| (x, 10_f64.powf(x)));
            panel.draw_series(DashedLineSeries::new(chance, 12, 8, NEUTRAL.stroke_width(3)))?;
        }
        for (i, curve) in curves {
            let sure = sure_from(curve).log10().max(lowest);
            let levels = levels(&finite(&curve.points), (lowest, 0.0), f64::log10);
            let line = |from, to| {
                let mut line = staircase(&levels, from, to);
                if direction == Direction::Falling {
                    line.iter_mut().for_each(|point| point.1 = 1.0 - point.1);
                }
                line
            };
            let pale = line_colour(*i).mix(0.4).stroke_width(3);
            panel.draw_series(LineSeries::new(line(lowest, sure), pale))?;
            draw_line(&mut panel, line(sure, 0.0), *i)?;
        }
        Ok(())
    })
}

/// The power of ten of the smallest rate that the largest curve can show, from -2 to -6.
pub(crate) fn lowest_decade(curves: &[Numbered]) -> f64 {
    let impostors = curves.iter().map(|(_, curve)| curve.impostors).max().unwrap_or(0).max(1);
    -(impostors as f64).log10().ceil().clamp(2.0, 6.0)
}

/// The rate of ten false accepts.
pub(crate) fn sure_from(curve: &RocSeries) -> f64 {
    (10.0 / curve.impostors.max(1) as f64).min(1.0)
}

/// The true-accept rate reached at each place of a scale for the FAR, rounded to what the picture can show.
pub(crate) fn levels(
    points: &[(f64, f64)],
    (lowest, highest): (f64, f64),
    scale: fn(f64) -> f64,
) -> Vec<(f64, f64)> {
    let mut levels: Vec<(f64, f64)> = Vec::new();
    for &(far, tar) in points {
        // A rate of zero, whose logarithm is minus infinity, lies at the left edge.
        let x = ((scale(far) * RESOLUTION).round() / RESOLUTION).clamp(lowest, highest);
        match levels.last_mut() {
            Some(last) if last.0 >= x => last.1 = last.1.max(tar),
            _ => levels.push((x, tar)),
        }
    }
    levels
}

/// The line that keeps each level up to the next, between two places; empty without levels.
pub(crate) fn staircase(levels: &[(f64, f64)], from: f64, to: f64) -> Vec<(f64, f64)> {
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
    fn missed_mates_fall_as_alarms_rise() {
        let searches = RocSeries { name: "a".into(), points: vec![(0.0, 0.2), (1.0, 1.0)], impostors: 1000 };
        let svg = fnir_curve("Open set", &[searches]).unwrap();
        let texts = texts_of_well_formed(&svg);
        for text in ["FNIR", "false-positive identification rate (FPIR)", "0.1 %"] {
            assert!(texts.iter().any(|t| t == text), "{text} in {texts:?}");
        }
        assert!(!texts.iter().any(|t| t == "chance"));
        // In a picture, up is less: the line goes down from left to right.
        let line = svg.split("<polyline").filter(|l| l.contains("stroke-width=\"5\"")).last().unwrap();
        let points = line.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        let heights: Vec<i32> =
            points.split_whitespace().map(|p| p.split_once(',').unwrap().1.parse().unwrap()).collect();
        assert!(heights.windows(2).all(|h| h[0] <= h[1]) && heights[0] < *heights.last().unwrap());
    }

    #[test]
    fn the_staircase_never_shows_more_than_was_reached() {
        let levels = levels(
            &[(0.0, 0.2), (0.0, 0.4), (0.01, 0.5), (0.1, 0.5), (0.1, 0.9), (1.0, 1.0)],
            (-3.0, 0.0),
            f64::log10,
        );
        assert_eq!(levels, [(-3.0, 0.4), (-2.0, 0.5), (-1.0, 0.9), (0.0, 1.0)]);
        assert_eq!(staircase(&levels, -3.0, -1.5), [(-3.0, 0.4), (-2.0, 0.4), (-2.0, 0.5), (-1.5, 0.5)]);
        assert_eq!(
            staircase(&levels, -1.5, 0.0),
            [(-1.5, 0.5), (-1.0, 0.5), (-1.0, 0.9), (0.0, 0.9), (0.0, 1.0), (0.0, 1.0)]
        );
        assert_eq!(staircase(&[], -1.0, 0.0), []);
    }
}
