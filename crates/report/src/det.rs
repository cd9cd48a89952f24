//! The detection error trade-off: both error rates on normal-deviate axes.

use plotters::prelude::*;

use crate::{
    RocSeries,
    chart::{
        Axes, DrawError, Mark, NEUTRAL, chart_with_ticks, draw, draw_line, finite, heading, line_colour,
        line_mark, percent,
    },
    roc::{Numbered, levels, lowest_decade, numbered, staircase, sure_from},
};

/// Where the axes have lines.
const TICKS: [f64; 10] = [1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95];
/// Labels on the x axis are at least so far apart.
const APART: f64 = 150.0;

/// The rate of genuine pairs that are rejected over that of impostors that are accepted, as SVG.
///
/// Both axes are in normal deviates, so that scores of two normal distributions give a straight line (Martin et
/// al., *The DET curve in assessment of detection task performance*, Eurospeech 1997). The points of the curves
/// are those of [`roc_curve`](crate::roc_curve).
///
/// # Errors
/// If the drawing library fails.
pub fn det_curve(title: &str, curves: &[RocSeries]) -> Result<String, DrawError> {
    det_picture(title, &numbered(curves))
}

pub(crate) fn det_picture(title: &str, curves: &[Numbered]) -> Result<String, DrawError> {
    draw("the DET curve", 820, |area| {
        let lowest = 10_f64.powf(lowest_decade(curves));
        let points = || curves.iter().flat_map(|(_, curve)| finite(&curve.points));
        // About the largest equal error rate: curves of weak models need more of the axes.
        let equal = points().map(|(far, tar)| far.min(1.0 - tar)).fold(0.0, f64::max);
        let highest = if equal > 0.3 { 0.95 } else { 0.5 };
        let misses = points().map(|(_, tar)| 1.0 - tar).filter(|miss| *miss > 1e-6);
        let fewest = misses.fold(0.01, f64::min);
        let lowest_miss = TICKS.into_iter().rev().find(|tick| *tick <= fewest).unwrap_or(TICKS[0]);

        let mut legend: Vec<_> =
            curves.iter().map(|(i, curve)| (line_mark(*i), curve.name.clone())).collect();
        legend.push((Mark::Pale(NEUTRAL), "fewer than 10 false accepts".into()));
        legend.push((Mark::Dashed(NEUTRAL), "equal error rates".into()));
        let area = heading(area, title, &legend)?;
        let (x, y) = ((probit(lowest), probit(highest)), (probit(lowest_miss), probit(highest)));
        let axes = Axes {
            x,
            y,
            x_label: "false-accept rate",
            y_label: "false-reject rate",
            x_ticks: 0,
            y_ticks: 0,
            x_format: &|_| String::new(),
            y_format: &|_| String::new(),
        };
        let ticks = |range: (f64, f64)| {
            let places = TICKS.into_iter().map(|rate| (probit(rate), percent(rate)));
            places.filter(move |(place, _)| (range.0 - 1e-9..=range.1 + 1e-9).contains(place))
        };
        let mut x_ticks: Vec<_> = ticks(x).collect();
        let scale = f64::from(area.dim_in_pixel().0) * 0.8 / (x.1 - x.0);
        let mut next = f64::INFINITY;
        for (place, label) in x_ticks.iter_mut().rev() {
            if (next - *place) * scale < APART {
                label.clear();
            } else {
                next = *place;
            }
        }
        let y_ticks: Vec<_> = ticks(y).collect();
        let mut panel = chart_with_ticks(&area, &axes, &x_ticks, &y_ticks)?;
        let from = x.0.max(y.0);
        let equal = [(from, from), (x.1, x.1)];
        panel.draw_series(DashedLineSeries::new(equal, 12, 8, NEUTRAL.stroke_width(3)))?;
        for (i, curve) in curves {
            let sure = probit(sure_from(curve)).clamp(x.0, x.1);
            let levels = levels(&finite(&curve.points), (x.0, f64::INFINITY), probit);
            // A curve that leaves the picture runs along its edge, at less than the axis shows.
            let line = |from, to| {
                let line = staircase(&levels, from, to).into_iter();
                line.map(|(x, tar)| (x, probit(1.0 - tar).clamp(y.0, y.1))).collect::<Vec<_>>()
            };
            let pale = line_colour(*i).mix(0.4).stroke_width(3);
            panel.draw_series(LineSeries::new(line(x.0, sure), pale))?;
            draw_line(&mut panel, line(sure, x.1), *i)?;
        }
        Ok(())
    })
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
    use super::*;
    use crate::chart::texts_of_well_formed;

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

    #[test]
    fn axes_and_legend_are_labelled() {
        let points = (0..=1000).map(|i| f64::from(i) / 1000.0).map(|far| (far, far.powf(0.02))).collect();
        let curve = RocSeries { name: "a <b>".into(), points, impostors: 10_000 };
        let texts = texts_of_well_formed(&det_curve("DET", &[curve]).unwrap());
        for text in ["a &lt;b&gt;", "0.01 %", "1 %", "50 %", "false-reject rate", "equal error rates"] {
            assert!(texts.iter().any(|t| t == text), "{text} in {texts:?}");
        }
    }

    #[test]
    fn any_points_are_drawn() {
        let curve = |points: &[(f64, f64)], impostors| RocSeries {
            points: points.to_vec(),
            impostors,
            ..RocSeries::default()
        };
        let curves = [
            curve(&[], 0),
            curve(&[(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)], 10_000_000),
            curve(&[(0.0, 0.0), (1.0, 1.0)], 3),
            curve(&[(f64::NAN, 0.1), (0.5, 0.5)], 100),
        ];
        texts_of_well_formed(&det_curve("all", &curves).unwrap());
        for curve in curves {
            texts_of_well_formed(&det_curve("one", &[curve]).unwrap());
        }
        texts_of_well_formed(&det_curve("none", &[]).unwrap());
    }
}
