//! The cumulative match characteristic: how soon the right person is found.

use facegrad_results::numbers::number;
use plotters::prelude::*;

use crate::{
    Series,
    chart::{
        Axes, DrawError, chart_with_ticks, draw, draw_line, finite, grid_step, heading, line_colour,
        line_mark, percent,
    },
};

/// The share of probes whose mate is among the first candidates, over their number on a logarithmic axis, as SVG.
///
/// The points of a curve are (rank, share from 0 to 1), ranks from 1 up. The axis of the shares begins near the
/// lowest of them.
///
/// # Errors
/// If the drawing library fails.
pub fn cmc_curve(title: &str, curves: &[Series]) -> Result<String, DrawError> {
    cmc_picture(title, &curves.iter().enumerate().collect::<Vec<_>>())
}

/// The curves come with the numbers of their colours.
pub(crate) fn cmc_picture(title: &str, curves: &[(usize, &Series)]) -> Result<String, DrawError> {
    draw("the CMC curve", 820, |area| {
        let of_curve = |curve: &Series| -> Vec<(f64, f64)> {
            finite(&curve.points).into_iter().filter(|point| point.0 >= 1.0).collect()
        };
        let all: Vec<_> = curves.iter().flat_map(|(_, curve)| of_curve(curve)).collect();
        let last = all.iter().map(|point| point.0).fold(2.0, f64::max);
        let lowest = all.iter().map(|point| point.1).fold(1.0, f64::min).clamp(0.0, 1.0);
        let step = grid_step((1.0 - lowest).max(0.01));
        let bottom = ((lowest / step).floor() * step).max(0.0);

        let legend: Vec<_> = curves.iter().map(|(i, curve)| (line_mark(*i), curve.name.clone())).collect();
        let area = heading(area, title, &legend)?;
        let axes = Axes {
            x: (0.0, last.log10()),
            y: (bottom, 1.0),
            x_label: "rank",
            y_label: "found up to this rank",
            x_ticks: 0,
            y_ticks: 0,
            x_format: &|_| String::new(),
            y_format: &|_| String::new(),
        };
        let ranks = (0..9).flat_map(|power| [1, 2, 5].map(|factor| f64::from(factor * 10_i32.pow(power))));
        let x_ticks: Vec<_> = ranks
            .take_while(|rank| *rank <= last)
            .map(|rank| {
                // Over many decades only their beginnings are labelled.
                let is_labelled = last <= 2000.0 || rank.log10().fract() == 0.0;
                (rank.log10(), if is_labelled { number(rank) } else { String::new() })
            })
            .collect();
        let lines = ((1.0 - bottom) / step).round() as i32;
        let y_ticks: Vec<_> = (0..=lines)
            .map(|i| (bottom + f64::from(i) * step).min(1.0))
            .map(|share| (share, percent(share)))
            .collect();
        let mut panel = chart_with_ticks(&area, &axes, &x_ticks, &y_ticks)?;
        for (i, curve) in curves {
            let points: Vec<_> = of_curve(curve).into_iter().map(|(rank, y)| (rank.log10(), y)).collect();
            if points.len() <= 40 {
                let dot = |&point: &(f64, f64)| Circle::new(point, 7, line_colour(*i).filled());
                panel.draw_series(points.iter().map(dot))?;
            }
            draw_line(&mut panel, points, *i)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::texts_of_well_formed;

    fn curve(ranks: u32, first: f64) -> Series {
        let share = |rank: u32| 1.0 - (1.0 - first) / f64::from(rank);
        Series { name: "a & b".into(), points: (1..=ranks).map(|r| (f64::from(r), share(r))).collect() }
    }

    #[test]
    fn ranks_and_shares_are_labelled() {
        let texts = texts_of_well_formed(&cmc_curve("CMC", &[curve(100, 0.62), curve(20, 0.9)]).unwrap());
        for text in ["a &amp; b", "1", "2", "5", "10", "20", "50", "100", "60 %", "100 %", "rank"] {
            assert!(texts.iter().any(|t| t == text), "{text} in {texts:?}");
        }
        assert!(!texts.iter().any(|t| t == "50 %"));
    }

    #[test]
    fn any_curve_is_drawn() {
        for curves in [
            vec![],
            vec![Series::default()],
            vec![curve(1, 1.0)],
            vec![curve(1_000_000, 0.0)],
            vec![Series { name: "odd".into(), points: vec![(0.0, 0.1), (f64::NAN, 0.2), (3.0, f64::NAN)] }],
        ] {
            texts_of_well_formed(&cmc_curve("any", &curves).unwrap());
        }
    }
}
