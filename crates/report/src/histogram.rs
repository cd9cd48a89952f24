//! How the scores of genuine and impostor pairs are distributed.

use plotters::prelude::*;

use crate::chart::{
    Axes, BLUE, Chart, DrawError, Drawn, Mark, ORANGE, TEXT, chart, draw, extent, heading, number, percent,
};

const BINS: usize = 50;

/// The share of genuine and of impostor pairs in each of 50 stretches of scores, as SVG, with the threshold
/// if there is one.
///
/// Each class adds up to 100 % by itself. Scores that are not finite are left out.
///
/// # Errors
/// If the drawing library fails.
pub fn score_histogram(
    title: &str,
    genuine: &[f64],
    impostor: &[f64],
    threshold: Option<f64>,
) -> Result<String, DrawError> {
    draw("the score histogram", 720, |area| {
        let threshold = threshold.filter(|threshold| threshold.is_finite());
        let all = genuine.iter().chain(impostor).copied().filter(|score| score.is_finite());
        let x = extent(all.chain(threshold));
        let classes: Vec<_> = [(genuine, "genuine", BLUE), (impostor, "impostor", ORANGE)]
            .into_iter()
            .filter(|(scores, ..)| !scores.is_empty())
            .map(|(scores, name, colour)| {
                (shares(scores, x), format!("{name} ({} pairs)", number(scores.len() as f64)), colour)
            })
            .collect();
        let highest = classes.iter().flat_map(|class| &class.0).copied().fold(0.0, f64::max);

        let mut legend: Vec<_> =
            classes.iter().map(|(_, name, colour)| (Mark::Filled(*colour), name.clone())).collect();
        if let Some(threshold) = threshold {
            legend.push((Mark::Dashed(TEXT), format!("threshold {threshold:.3}")));
        }
        let area = heading(area, title, &legend)?;
        let axes = Axes {
            x,
            y: (0.0, if highest > 0.0 { highest * 1.08 } else { 1.0 }),
            x_label: "score",
            y_label: "share of pairs",
            x_ticks: 8,
            y_ticks: 6,
            x_format: &|x| number(*x),
            y_format: &|y| percent(*y),
        };
        let mut panel = chart(&area, &axes)?;
        for (shares, _, colour) in &classes {
            outline(&mut panel, shares, x, *colour)?;
        }
        if let Some(threshold) = threshold {
            let line = [(threshold, 0.0), (threshold, axes.y.1)];
            panel.draw_series(DashedLineSeries::new(line, 12, 8, TEXT.stroke_width(4)))?;
        }
        Ok(())
    })
}

/// The share of `scores` in each bin of `range`; all zero without scores.
fn shares(scores: &[f64], range: (f64, f64)) -> Vec<f64> {
    let mut shares = vec![0.0; BINS];
    let finite: Vec<f64> = scores.iter().copied().filter(|score| score.is_finite()).collect();
    for score in &finite {
        let bin = (score - range.0) / (range.1 - range.0) * BINS as f64;
        shares[(bin as usize).min(BINS - 1)] += 1.0 / finite.len() as f64;
    }
    shares
}

/// Draws the bins as one filled shape with a line round its top.
fn outline(panel: &mut Chart, shares: &[f64], range: (f64, f64), colour: RGBColor) -> Drawn<()> {
    let edge = |bin: usize| range.0 + (range.1 - range.0) * bin as f64 / BINS as f64;
    let mut line = vec![(range.0, 0.0)];
    for (bin, &share) in shares.iter().enumerate() {
        line.extend([(edge(bin), share), (edge(bin + 1), share)]);
    }
    line.push((range.1, 0.0));
    panel.draw_series(std::iter::once(Polygon::new(line.clone(), colour.mix(0.3).filled())))?;
    panel.draw_series(LineSeries::new(line, colour.stroke_width(4)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::texts_of_well_formed;

    #[test]
    fn every_score_is_in_one_bin() {
        let shares = shares(&[-1.0, -1.0, 0.0, 1.0, f64::NAN], (-1.0, 1.0));
        assert_eq!((shares[0], shares[BINS / 2], shares[BINS - 1]), (0.5, 0.25, 0.25));
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn axes_and_legend_are_labelled() {
        let texts =
            texts_of_well_formed(&score_histogram("Scores", &[0.2, 0.9], &[-0.3; 1500], Some(0.31)).unwrap());
        for text in
            ["Scores", "genuine (2 pairs)", "impostor (1,500 pairs)", "threshold 0.310", "score", "100 %"]
        {
            assert!(texts.iter().any(|t| t == text), "{text} in {texts:?}");
        }
    }

    #[test]
    fn any_scores_are_drawn() {
        for (genuine, impostor, threshold) in [
            (vec![], vec![], None),
            (vec![0.5], vec![], Some(f64::INFINITY)),
            (vec![0.5; 3], vec![0.5; 3], Some(0.5)),
            (vec![f64::NAN, 1.0], vec![f64::NEG_INFINITY], Some(2.0)),
        ] {
            texts_of_well_formed(&score_histogram("odd", &genuine, &impostor, threshold).unwrap());
        }
    }
}
