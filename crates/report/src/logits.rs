//! Heads as functions of the angle: target logits, and how two classes are told apart.

use crate::{
    chart::{Axis, Chart, LINEAR, Layer, Panel, extent, multiples, number, outward, picture},
    svg::{BLUE, Look, NEUTRAL, ORANGE, Picture},
};

/// A head as a function of the angle θ in radians, from 0 to π, between an embedding and a class weight.
#[derive(Clone, Copy)]
pub struct LogitCurve<'a> {
    /// The name, for the legend.
    pub name: &'a str,
    /// The logit of the sample's own class, divided by the scale.
    pub target: &'a dyn Fn(f64) -> f64,
    /// The logit of any other class, divided by the scale.
    pub other: &'a dyn Fn(f64) -> f64,
}

/// The target logits of `heads` over the angle from 0 to 180 degrees, and below them how each of them tells two classes apart.
///
/// A curve has a gap where its function jumps or is not finite. Twenty curves can be told apart: colours repeat
/// after five, with other dashes.
///
/// Below is a square for each head: over the angles θ₁ and θ₂ of an embedding to the weights of two classes, from 0 to 90
/// degrees, the regions where it belongs to class 1, target(θ₁) ≥ other(θ₂), and to class 2, target(θ₂) ≥ other(θ₁), in
/// training. The band between them is the decision margin. This is figure 5 of Deng et al., ArcFace, CVPR 2019.
pub fn logits(heads: &[LogitCurve]) -> Picture {
    picture(&[target_logits(heads), decision_boundaries(heads)])
}

/// Samples in each degree.
const SAMPLES: usize = 4;
/// What a curve rises between two samples, at most: more is a jump.
const JUMP: f64 = 0.08;
/// The largest angle of the squares.
const END: f64 = 90.0;

/// The degrees up to the last, both ends included.
fn samples(last: f64) -> impl Iterator<Item = f64> {
    (0..=last as usize * SAMPLES).map(|i| i as f64 / SAMPLES as f64)
}

/// The first and last of some samples in a row, and a point of each degree.
fn thinned(samples: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let last = samples.len().saturating_sub(1);
    let kept = |i: &usize| i.is_multiple_of(SAMPLES) || *i == last;
    samples.iter().enumerate().filter(|(i, _)| kept(i)).map(|(_, point)| *point).collect()
}

/// An axis of angles.
fn angles(label: &str, last: f64) -> Axis {
    let ticks = multiples((0.0, last), 30.0).map(|angle| (angle, format!("{angle}°")));
    Axis::new(label, (0.0, last), LINEAR, ticks)
}

fn target_logits(heads: &[LogitCurve]) -> Chart {
    let lines: Vec<_> = heads.iter().map(|head| pieces(head.target)).collect();
    let (low, high) = extent(lines.iter().flatten().flatten().map(|point| point.1));
    let range = outward((low, high), if high - low > 4.0 { 1.0 } else { 0.5 });
    let layers = heads.iter().zip(lines).enumerate().flat_map(|(i, (head, line))| {
        line.into_iter().map(move |piece| Layer::new(Look::numbered(i), thinned(&piece)).named(head.name))
    });
    let axes = [
        angles("angle θ between embedding and class weight", 180.0),
        Axis::linear("target logit / scale", range, 9, number),
    ];
    Chart::new("Target logit by angle", Panel::new(axes, Some(620.0), layers))
}

/// The curve of `target` in pieces without a gap.
fn pieces(target: &dyn Fn(f64) -> f64) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut before = f64::NAN;
    for x in samples(180.0) {
        let y = target(x.to_radians());
        match pieces.last_mut() {
            Some(piece) if (y - before).abs() <= JUMP => piece.push((x, y)),
            _ if y.is_finite() => pieces.push(vec![(x, y)]),
            _ => {}
        }
        before = y;
    }
    pieces
}

fn decision_boundaries(heads: &[LogitCurve]) -> Chart {
    Chart {
        title: "Decision margin between two classes".into(),
        columns: heads.len().clamp(2, 4),
        panels: heads.iter().map(square).collect(),
        notes: "θ₁, θ₂: the angles between an embedding and the weights of class 1 and class 2. Shaded: where its logit \
                as the target, with the margin, is at least the other's. The blank band is the decision margin."
            .into(),
    }
}

/// The regions of one head.
fn square(head: &LogitCurve) -> Panel {
    let strips = strips(head);
    // Class 2 is class 1 with the angles swapped.
    let regions = |colour, name: &'static str, turn: fn((f64, f64)) -> (f64, f64)| {
        strips.iter().map(move |Strip { low, high }| {
            let corners = thinned(low).into_iter().chain(thinned(high).into_iter().rev());
            Layer::new(Look::Area(colour), corners.map(turn)).named(name)
        })
    };
    let diagonal = Layer::new(Look::dashed(NEUTRAL), [(0.0, 0.0), (END, END)]).named("θ₁ = θ₂");
    let regions = regions(BLUE, "class 1", |place| place).chain(regions(ORANGE, "class 2", |(x, y)| (y, x)));
    let axes = [angles("θ₁", END), angles("θ₂", END)];
    Panel { title: head.name.into(), is_small: true, ..Panel::new(axes, None, regions.chain([diagonal])) }
}

/// A part of a region: between two edges over the same θ₁.
#[derive(Default)]
struct Strip {
    low: Vec<(f64, f64)>,
    high: Vec<(f64, f64)>,
}

/// The region of class 1, in degrees. θ₁ grows along a strip; a new one begins where the number of intervals
/// of θ₂ changes.
fn strips(head: &LogitCurve) -> Vec<Strip> {
    let mut done: Vec<Strip> = Vec::new();
    let mut open: Vec<Strip> = Vec::new();
    for x in samples(END) {
        let target = (head.target)(x.to_radians());
        let intervals = intervals(|y| target - (head.other)(y.to_radians()));
        if intervals.len() != open.len() {
            done.append(&mut open);
            open.resize_with(intervals.len(), Strip::default);
        }
        for (strip, (low, high)) in open.iter_mut().zip(intervals) {
            strip.low.push((x, low));
            strip.high.push((x, high));
        }
    }
    done.append(&mut open);
    done
}

/// Where `lead` is 0 or more, from 0 to 90 degrees.
fn intervals(lead: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    // Rounding must not decide at a boundary.
    let is_in = |y: f64| lead(y) >= -1e-12;
    let mut found: Vec<(f64, f64)> = Vec::new();
    let (mut before, mut was_in) = (0.0, is_in(0.0));
    if was_in {
        found.push((0.0, 0.0));
    }
    for y in samples(END).skip(1) {
        let is_in_here = is_in(y);
        match found.last_mut() {
            Some(last) if was_in => last.1 = if is_in_here { y } else { crossing(is_in, before, y) },
            _ if is_in_here => found.push((crossing(is_in, before, y), y)),
            _ => {}
        }
        (before, was_in) = (y, is_in_here);
    }
    found
}

/// Between `a` and `b`, where `is_in` changes.
fn crossing(is_in: impl Fn(f64) -> bool, mut a: f64, mut b: f64) -> f64 {
    let at_a = is_in(a);
    for _ in 0..30 {
        let middle = (a + b) / 2.0;
        if is_in(middle) == at_a { a = middle } else { b = middle }
    }
    (a + b) / 2.0
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;
    use crate::{
        svg::{Colour, line_colour},
        testing::texts_of_well_formed,
    };

    const MARGIN_OF_ARCFACE: f64 = 0.5;

    fn softmax(theta: f64) -> f64 {
        theta.cos()
    }

    /// ArcFace with its linear fallback, which jumps at π − m.
    fn arcface(theta: f64) -> f64 {
        let m = MARGIN_OF_ARCFACE;
        if theta > PI - m { theta.cos() - m * m.sin() } else { (theta + m).cos() }
    }

    fn cosface(theta: f64) -> f64 {
        theta.cos() - 0.35
    }

    /// ψ of SphereFace with m = 2.
    fn sphereface(theta: f64) -> f64 {
        if theta <= PI / 2.0 { (2.0 * theta).cos() } else { -(2.0 * theta).cos() - 2.0 }
    }

    fn head<'a>(name: &'a str, target: &'a dyn Fn(f64) -> f64) -> LogitCurve<'a> {
        LogitCurve { name, target, other: &softmax }
    }

    /// The points of the lines and polygons of `colour`, in the picture's own units.
    fn shapes(svg: &str, element: &str, colour: Colour) -> Vec<Vec<(f64, f64)>> {
        let colour = format!("\"{}\"", colour.0);
        let tags = svg.split('<').filter(|tag| tag.starts_with(element) && tag.contains(&colour));
        let points = |tag: &str| -> Vec<(f64, f64)> {
            let points = tag.split(" points=\"").nth(1).unwrap().split('"').next().unwrap();
            let point = |point: &str| {
                let (x, y) = point.split_once(',').unwrap();
                (x.parse().unwrap(), y.parse().unwrap())
            };
            points.split_whitespace().map(point).collect()
        };
        tags.map(points).filter(|points: &Vec<_>| points.len() > 2).collect()
    }

    #[test]
    fn every_head_is_named_in_a_well_formed_picture() {
        let names: Vec<String> = (0..20).map(|i| format!("head <{i}> & co")).collect();
        let heads: Vec<_> = names.iter().map(|name| head(name, &arcface)).collect();
        for count in [0, 1, 2, 4, 5, 20] {
            for (picture, times) in [
                (target_logits(&heads[..count]).picture(), 1),
                (decision_boundaries(&heads[..count]).picture(), 1),
                (logits(&heads[..count]), 2),
            ] {
                let texts = texts_of_well_formed(&picture.to_svg());
                for i in 0..count {
                    let name = format!("head &lt;{i}&gt; &amp; co");
                    assert_eq!(texts.iter().filter(|text| **text == name).count(), times, "{name}");
                }
            }
        }
    }

    #[test]
    fn curves_pass_through_the_values_of_their_functions() {
        let heads = [
            head("softmax", &softmax),
            head("arcface", &arcface),
            head("cosface", &cosface),
            head("a_softmax", &sphereface),
        ];
        let svg = target_logits(&heads).picture().to_svg();
        let lines: Vec<Vec<(f64, f64)>> =
            (0..heads.len()).map(|i| shapes(&svg, "polyline", line_colour(i)).concat()).collect();
        // The cosine fixes the axes: 1 at 0°, −1 at 180°.
        let (first, last) = (lines[0][0], lines[0][lines[0].len() - 1]);
        let place = |degrees: f64, y: f64| {
            (first.0 + degrees / 180.0 * (last.0 - first.0), first.1 + (1.0 - y) / 2.0 * (last.1 - first.1))
        };
        let m = MARGIN_OF_ARCFACE.to_degrees();
        let known = [
            (0, 90.0, 0.0),
            (0, 60.0, 0.5),
            (1, 0.0, MARGIN_OF_ARCFACE.cos()),
            (1, 90.0 - m, 0.0),
            (1, 179.9, -1.0 - 0.5 * 0.5f64.sin()),
            (2, 0.0, 0.65),
            (2, 90.0, -0.35),
            (2, 180.0, -1.35),
            (3, 45.0, 0.0),
            (3, 90.0, -1.0),
            (3, 180.0, -3.0),
        ];
        for (head, degrees, y) in known {
            let (x, y) = place(degrees, y);
            let nearest = lines[head].iter().map(|p| (p.0 - x).hypot(p.1 - y)).fold(f64::INFINITY, f64::min);
            // The picture is 1,200 units wide, and points are a degree apart.
            assert!(nearest < 3.0, "line {head} at {degrees}°: {nearest} units off");
        }
    }

    #[test]
    fn a_jump_or_a_number_that_is_none_is_a_gap() {
        assert_eq!(pieces(&softmax).len(), 1);
        let joined = pieces(&arcface);
        assert_eq!(joined.len(), 2);
        let end = joined[0].last().unwrap();
        assert!((end.0.to_radians() - (PI - MARGIN_OF_ARCFACE)).abs() < 0.005, "{end:?}");
        let hole = pieces(&|theta| if (1.0..2.0).contains(&theta) { f64::NAN } else { 0.0 });
        assert_eq!(hole.len(), 2);
        assert!(pieces(&|_| f64::INFINITY).is_empty());
        texts_of_well_formed(&logits(&[head("none", &|_| f64::NAN)]).to_svg());
    }

    /// The angle that the regions leave blank on θ₁ + θ₂ = `sum`, in degrees.
    fn margin(head: &LogitCurve, sum: f64) -> f64 {
        let strips = strips(head);
        let is_in = |x: f64, y: f64| {
            strips.iter().any(|strip| {
                let near = |p: &&(f64, f64)| (p.0 - x).abs() <= 0.5 / SAMPLES as f64;
                let (low, high) = (strip.low.iter().find(near), strip.high.iter().find(near));
                matches!((low, high), (Some(low), Some(high)) if low.1 <= y && y <= high.1)
            })
        };
        let on_line = samples(END).map(|x| (x, sum - x)).filter(|p| (0.0..=END).contains(&p.1));
        let blank = on_line.filter(|&(x, y)| !is_in(x, y) && !is_in(y, x)).count();
        blank as f64 / SAMPLES as f64
    }

    #[test]
    fn the_blank_band_is_the_decision_margin() {
        // On θ₁ + θ₂ = K, the angle between two weights in their plane, in steps of a quarter degree.
        for (name, target, sum, expected) in [
            ("softmax", &softmax as &dyn Fn(f64) -> f64, 80.0, 0.0),
            // cos(θ₁ + m) = cos θ₂ where θ₂ − θ₁ = m, on either side of the middle, and θ₁ moves by half of that.
            ("arcface", &arcface, 80.0, MARGIN_OF_ARCFACE.to_degrees()),
            // (m − 1) / (m + 1) K.
            ("a_softmax", &sphereface, 30.0, 10.0),
            ("a_softmax", &sphereface, 60.0, 20.0),
        ] {
            let found = margin(&head(name, target), sum);
            assert!((found - expected).abs() <= 0.5, "{name}, {sum}°: a band of {found}°, not {expected}°");
        }
    }

    #[test]
    fn regions_are_filled_and_the_classes_mirror_each_other() {
        let heads = [head("cosface", &cosface)];
        let svg = decision_boundaries(&heads).picture().to_svg();
        for colour in [BLUE, ORANGE] {
            // One of them is in the legend.
            assert_eq!(shapes(&svg, "polygon", colour).len(), 2, "{svg}");
        }
        for (x, y) in strips(&heads[0]).iter().flat_map(|strip| &strip.low) {
            // cos θ₁ − 0.35 = cos θ₂.
            assert!((cosface(x.to_radians()) - y.to_radians().cos()).abs() < 1e-6, "{x}, {y}");
        }
        assert!(strips(&head("never", &|_| -2.0)).is_empty());
        let everywhere = strips(&head("everywhere", &|_| 2.0));
        assert_eq!(everywhere.len(), 1);
        assert!(
            everywhere[0].low.iter().all(|p| p.1 == 0.0) && everywhere[0].high.iter().all(|p| p.1 == END)
        );
        // Two intervals of θ₂ from 60° of θ₁ on.
        let bent = LogitCurve {
            name: "bent",
            target: &|theta| if theta < PI / 3.0 { -1.0 } else { 0.0 },
            other: &|theta| if (0.5..1.0).contains(&theta) { 1.0 } else { 0.0 },
        };
        let bent = strips(&bent);
        let starts: Vec<_> = bent.iter().map(|strip| (strip.low[0], strip.high[0].1)).collect();
        assert_eq!(bent.len(), 2, "{starts:?}");
        for (((x, low), high), (expected_low, expected_high)) in
            starts.into_iter().zip([(0.0, 0.5), (1.0, PI / 2.0)])
        {
            let found = [x.to_radians(), low.to_radians(), high.to_radians()];
            for (found, expected) in found.into_iter().zip([PI / 3.0, expected_low, expected_high]) {
                assert!((found - expected).abs() < 0.005, "{found} is not {expected}");
            }
        }
    }
}
