//! How the scores of genuine and impostor pairs are distributed.

use facegrad_results::{NamedThreshold, ScoreDistribution};

use crate::{
    chart::{Axis, Chart, Layer, Panel, extent, number, percent},
    svg::{BLUE, Look, ORANGE, Picture, TEXT},
};

/// No more thresholds than these are drawn.
const THRESHOLDS: usize = 8;

/// The share of genuine and of impostor pairs in each stretch of scores, with up to eight thresholds.
///
/// Each class adds up to 100 % by itself. With more than 120 stretches, neighbours are joined. Several thresholds
/// are lettered, so that they are told apart without colour.
pub fn counts_histogram(title: &str, counts: &ScoreDistribution, thresholds: &[NamedThreshold]) -> Picture {
    let finite = thresholds.iter().filter(|threshold| threshold.value.is_finite());
    let mut thresholds: Vec<&NamedThreshold> = finite.take(THRESHOLDS).collect();
    thresholds.sort_by(|a, b| a.value.total_cmp(&b.value));
    let ends = [counts.range.0, counts.range.1].into_iter().filter(|end| end.is_finite());
    let range = extent(ends.clone());
    let x = extent(ends.chain(thresholds.iter().map(|threshold| threshold.value)));

    let mut classes = Vec::new();
    for (counts, name, colour) in [(&counts.genuine, "genuine", BLUE), (&counts.impostor, "impostor", ORANGE)]
    {
        let Some(outline) = shares(counts, range) else { continue };
        let pairs = number(counts.iter().sum::<u64>() as f64);
        classes.push((outline, format!("{name} ({pairs} pairs)"), Look::Area(colour)));
    }
    let highest = classes.iter().flat_map(|class| &class.0).map(|place| place.1).fold(0.0, f64::max);
    let mut layers: Vec<Layer> =
        classes.into_iter().map(|(outline, name, look)| Layer::new(look, outline).named(name)).collect();
    let is_lettered = thresholds.len() > 1;
    // Letters stand above the highest bin.
    let room = if is_lettered { 1.08 + 0.09 * thresholds.len() as f64 } else { 1.08 };
    let top = if highest > 0.0 { highest * room } else { 1.0 };
    for (i, threshold) in thresholds.iter().enumerate() {
        let text = format!("{} {:.3}", threshold.name, threshold.value);
        let letter = char::from(b'A' + i as u8);
        let text = if is_lettered { format!("{letter}: {text}") } else { text };
        // Each line ends below the letter of the next, since thresholds may lie close together.
        let steps = (thresholds.len() - 1 - i) as f64;
        let end = (threshold.value, top * (1.0 - 0.09 * steps / room));
        layers.push(Layer::new(Look::dashed(TEXT), [(threshold.value, 0.0), end]).named(text));
        layers.extend(is_lettered.then(|| Layer::new(Look::Text(letter.into()), [end])));
    }
    let axes = [Axis::linear("score", x, 8, number), Axis::linear("share of pairs", (0.0, top), 6, percent)];
    Chart::new(title, Panel::new(axes, Some(550.0), layers)).picture()
}

/// The outline of a histogram, from the axis and back to it; all shares zero without counts.
fn shares(counts: &[u64], range: (f64, f64)) -> Option<Vec<(f64, f64)>> {
    let total = counts.iter().sum::<u64>().max(1) as f64;
    let edge = |bin: usize| range.0 + (range.1 - range.0) * bin as f64 / counts.len() as f64;
    let joined = counts.len().div_ceil(120).max(1);
    let step = |(i, bins): (usize, &[u64])| {
        let from = i * joined;
        // The last may have joined fewer.
        let share = bins.iter().sum::<u64>() as f64 / total * joined as f64 / bins.len() as f64;
        [(edge(from), share), (edge(from + bins.len()), share)]
    };
    let mut outline = vec![(range.0, 0.0)];
    outline.extend(counts.chunks(joined).enumerate().flat_map(step));
    outline.push((range.1, 0.0));
    (!counts.is_empty()).then_some(outline)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts_of_well_formed;

    #[test]
    fn every_score_is_in_one_bin() {
        let counts = ScoreDistribution::of(&[-1.0, -1.0, 0.0, 1.0, f64::NAN], &[], &[]);
        assert_eq!(counts.range, (-1.0, 1.0));
        let outline = shares(&counts.genuine, counts.range).unwrap();
        let steps: Vec<_> = outline[1..outline.len() - 1].chunks(2).collect();
        assert_eq!((steps[0][0].1, steps[25][0].1, steps[49][1].1), (0.5, 0.25, 0.25));
        assert!((steps.iter().map(|step| step[1].1).sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!((steps[0][0].0, steps[0][1].0, steps[49][1].0), (-1.0, -0.96, 1.0));
    }

    #[test]
    fn fine_counts_are_joined() {
        let outline = shares(&[1; 2000], (0.0, 1.0)).unwrap();
        let steps = &outline[1..outline.len() - 1];
        assert_eq!(steps.len(), 2 * 118);
        assert_eq!((outline[0], steps[235].0, outline[237]), ((0.0, 0.0), 1.0, (1.0, 0.0)));
        // The last stands for 11 instead of 17 stretches, at the same height.
        assert!(steps.iter().all(|step| (step.1 - 17.0 / 2000.0).abs() < 1e-12));
    }

    #[test]
    fn several_thresholds_have_letters() {
        let counts =
            ScoreDistribution { range: (-1.0, 1.0), genuine: vec![1, 2, 3], impostor: vec![3, 2, 1] };
        let named = |name: &str, value| NamedThreshold { name: name.into(), value };
        let thresholds = [named("best", 0.3), named("FAR 1 %", 0.31), named("none", f64::NAN)];
        let texts = texts_of_well_formed(&counts_histogram("Scores", &counts, &thresholds).to_svg());
        for text in ["A: best 0.300", "B: FAR 1 % 0.310", "A", "B", "genuine (6 pairs)"] {
            assert!(texts.iter().any(|t| t == text), "{text} in {texts:?}");
        }
        assert!(!texts.iter().any(|t| t == "C"));
        let odd =
            ScoreDistribution { range: (f64::NAN, f64::INFINITY), genuine: vec![0, 0], impostor: vec![] };
        texts_of_well_formed(&counts_histogram("odd", &odd, &[]).to_svg());
        texts_of_well_formed(&counts_histogram("empty", &ScoreDistribution::default(), &[]).to_svg());
    }

    /// The histogram of these scores.
    fn score_histogram(genuine: &[f64], impostor: &[f64], threshold: Option<f64>) -> Vec<String> {
        let counts = ScoreDistribution::of(genuine, impostor, threshold.as_slice());
        let named = threshold.map(|value| NamedThreshold { name: "threshold".into(), value });
        texts_of_well_formed(&counts_histogram("Scores", &counts, named.as_slice()).to_svg())
    }

    #[test]
    fn axes_and_legend_are_labelled() {
        let texts = score_histogram(&[0.2, 0.9], &[-0.3; 1500], Some(0.31));
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
            assert!(score_histogram(&genuine, &impostor, threshold).contains(&"score".to_owned()));
        }
    }
}
