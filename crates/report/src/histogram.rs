//! How the scores of genuine and impostor pairs are distributed.

use facegrad_results::{NamedThreshold, ScoreDistribution};
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::chart::{
    Axes, BLUE, Chart, DrawError, Drawn, FONT, Mark, ORANGE, TEXT, chart, draw, extent, font, heading,
    number, percent,
};

/// No more thresholds than these are drawn.
const THRESHOLDS: usize = 8;

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
    let threshold = threshold.filter(|threshold| threshold.is_finite());
    let counts = ScoreDistribution::of(genuine, impostor, threshold.as_slice());
    let named = threshold.map(|value| NamedThreshold { name: "threshold".into(), value });
    counts_histogram(title, &counts, named.as_slice())
}

/// The share of genuine and of impostor pairs in each stretch of scores, as SVG, with up to eight thresholds.
///
/// Each class adds up to 100 % by itself. With more than 120 stretches, neighbours are joined. Several thresholds
/// are lettered, so that they are told apart without colour.
///
/// # Errors
/// If the drawing library fails.
pub fn counts_histogram(
    title: &str,
    counts: &ScoreDistribution,
    thresholds: &[NamedThreshold],
) -> Result<String, DrawError> {
    draw("the score histogram", 820, |area| {
        let finite = thresholds.iter().filter(|threshold| threshold.value.is_finite());
        let mut thresholds: Vec<&NamedThreshold> = finite.take(THRESHOLDS).collect();
        thresholds.sort_by(|a, b| a.value.total_cmp(&b.value));
        let ends = [counts.range.0, counts.range.1].into_iter().filter(|end| end.is_finite());
        let range = extent(ends.clone());
        let x = extent(ends.chain(thresholds.iter().map(|threshold| threshold.value)));
        let classes: Vec<_> = [(&counts.genuine, "genuine", BLUE), (&counts.impostor, "impostor", ORANGE)]
            .into_iter()
            .filter(|(counts, ..)| !counts.is_empty())
            .map(|(counts, name, colour)| {
                let total: u64 = counts.iter().sum();
                (shares(counts, range), format!("{name} ({} pairs)", number(total as f64)), colour)
            })
            .collect();
        let heights = classes.iter().flat_map(|class| &class.0).map(|step| step.2);
        let highest = heights.fold(0.0, f64::max);

        let mut legend: Vec<_> =
            classes.iter().map(|(_, name, colour)| (Mark::Filled(*colour), name.clone())).collect();
        let letter = |i: usize| char::from(b'A' + i as u8);
        for (i, threshold) in thresholds.iter().enumerate() {
            let text = format!("{} {:.3}", threshold.name, threshold.value);
            let text = if thresholds.len() > 1 { format!("{}: {text}", letter(i)) } else { text };
            legend.push((Mark::Dashed(TEXT), text));
        }
        let area = heading(area, title, &legend)?;
        // Letters stand above the highest bin.
        let room = if thresholds.len() > 1 { 1.08 + 0.09 * thresholds.len() as f64 } else { 1.08 };
        let axes = Axes {
            x,
            y: (0.0, if highest > 0.0 { highest * room } else { 1.0 }),
            x_label: "score",
            y_label: "share of pairs",
            x_ticks: 8,
            y_ticks: 6,
            x_format: &|x| number(*x),
            y_format: &|y| percent(*y),
        };
        let mut panel = chart(&area, &axes)?;
        for (steps, _, colour) in &classes {
            outline(&mut panel, steps, *colour)?;
        }
        for (i, threshold) in thresholds.iter().enumerate() {
            // Each line ends below the letter of the next, since thresholds may lie close together.
            let steps = (thresholds.len() - 1 - i) as f64;
            let top = axes.y.1 * (1.0 - 0.09 * steps / room);
            let line = [(threshold.value, 0.0), (threshold.value, top)];
            panel.draw_series(DashedLineSeries::new(line, 12, 8, TEXT.stroke_width(4)))?;
            if thresholds.len() > 1 {
                let at = (threshold.value, top);
                let style = font(FONT - 4).pos(Pos::new(HPos::Right, VPos::Top));
                let name = Text::new(letter(i).to_string(), (-8, 0), style);
                panel.draw_series(std::iter::once(EmptyElement::at(at) + name))?;
            }
        }
        Ok(())
    })
}

/// The steps of a histogram, as (from, to, share); all shares zero without counts.
fn shares(counts: &[u64], range: (f64, f64)) -> Vec<(f64, f64, f64)> {
    let total = counts.iter().sum::<u64>().max(1) as f64;
    let edge = |bin: usize| range.0 + (range.1 - range.0) * bin as f64 / counts.len() as f64;
    let joined = counts.len().div_ceil(120).max(1);
    let step = |(i, bins): (usize, &[u64])| {
        let from = i * joined;
        // The last may have joined fewer.
        let share = bins.iter().sum::<u64>() as f64 / total * joined as f64 / bins.len() as f64;
        (edge(from), edge(from + bins.len()), share)
    };
    counts.chunks(joined).enumerate().map(step).collect()
}

/// Draws the steps as one filled shape with a line round its top.
fn outline(panel: &mut Chart, steps: &[(f64, f64, f64)], colour: RGBColor) -> Drawn<()> {
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return Ok(()) };
    let mut line = vec![(first.0, 0.0)];
    line.extend(steps.iter().flat_map(|&(from, to, share)| [(from, share), (to, share)]));
    line.push((last.1, 0.0));
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
        let counts = ScoreDistribution::of(&[-1.0, -1.0, 0.0, 1.0, f64::NAN], &[], &[]);
        assert_eq!(counts.range, (-1.0, 1.0));
        let steps = shares(&counts.genuine, counts.range);
        assert_eq!((steps[0].2, steps[25].2, steps[49].2), (0.5, 0.25, 0.25));
        assert!((steps.iter().map(|step| step.2).sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!((steps[0].0, steps[0].1, steps[49].1), (-1.0, -0.96, 1.0));
    }

    #[test]
    fn fine_counts_are_joined() {
        let steps = shares(&[1; 2000], (0.0, 1.0));
        assert_eq!(steps.len(), 118);
        assert_eq!(steps[117].1, 1.0);
        // The last stands for 11 instead of 17 stretches, at the same height.
        assert!(steps.iter().all(|step| (step.2 - 17.0 / 2000.0).abs() < 1e-12));
    }

    #[test]
    fn several_thresholds_have_letters() {
        let counts =
            ScoreDistribution { range: (-1.0, 1.0), genuine: vec![1, 2, 3], impostor: vec![3, 2, 1] };
        let named = |name: &str, value| NamedThreshold { name: name.into(), value };
        let thresholds = [named("best", 0.3), named("FAR 1 %", 0.31), named("none", f64::NAN)];
        let texts = texts_of_well_formed(&counts_histogram("Scores", &counts, &thresholds).unwrap());
        for text in ["A: best 0.300", "B: FAR 1 % 0.310", "A", "B", "genuine (6 pairs)"] {
            assert!(texts.iter().any(|t| t == text), "{text} in {texts:?}");
        }
        assert!(!texts.iter().any(|t| t == "C"));
        let odd =
            ScoreDistribution { range: (f64::NAN, f64::INFINITY), genuine: vec![0, 0], impostor: vec![] };
        texts_of_well_formed(&counts_histogram("odd", &odd, &[]).unwrap());
        texts_of_well_formed(&counts_histogram("empty", &ScoreDistribution::default(), &[]).unwrap());
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
