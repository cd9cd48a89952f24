//! Heads as functions of the angle: target logits, and how two classes are told apart.

use std::{f64::consts::PI, fmt::Write};

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::chart::{
    AXIS, Area, Axes, BLUE, Chart, DrawError, Drawn, FONT, GRID, MARGIN, Mark, NEUTRAL, ORANGE, WIDTH, bold,
    chart, draw, extent, font, footnote, heading, hex, line_colour, number, printable,
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

/// The target logits of `heads` over the angle from 0 to 180 degrees, as SVG.
///
/// A curve has a gap where its function jumps or is not finite. Twenty curves can be told apart: colours repeat
/// after five, with other dashes.
///
/// # Errors
/// If the drawing library fails.
pub fn target_logits(title: &str, heads: &[LogitCurve]) -> Result<String, DrawError> {
    let mut shapes = Shapes::default();
    let drawn = draw("the target logits", CURVES_HEIGHT, |area| curves(area, title, heads, &mut shapes));
    drawn.map(|svg| shapes.onto(svg))
}

/// How each of `heads` tells two classes apart, a square each, as SVG: over the angles θ₁ and θ₂ of an embedding to
/// the weights of two classes, from 0 to 90 degrees, the regions where it belongs to class 1, target(θ₁) ≥ other(θ₂),
/// and to class 2, target(θ₂) ≥ other(θ₁), in training. The band between them is the decision margin.
///
/// This is figure 5 of Deng et al., ArcFace, CVPR 2019.
///
/// # Errors
/// If the drawing library fails.
pub fn decision_boundaries(title: &str, heads: &[LogitCurve]) -> Result<String, DrawError> {
    let (height, mut shapes) = (boundaries_height(heads.len()), Shapes::default());
    let drawn = draw("the decision boundaries", height, |area| squares(area, title, heads, &mut shapes));
    drawn.map(|svg| shapes.onto(svg))
}

/// [`target_logits`] above [`decision_boundaries`], as one SVG.
///
/// # Errors
/// If the drawing library fails.
pub fn logits(heads: &[LogitCurve]) -> Result<String, DrawError> {
    let mut shapes = Shapes::default();
    let drawn = draw("the logits", CURVES_HEIGHT + boundaries_height(heads.len()), |area| {
        let (above, below) = area.split_vertically(CURVES_HEIGHT as i32);
        curves(&above, "Target logit by angle", heads, &mut shapes)?;
        squares(&below, "Decision margin between two classes", heads, &mut shapes)
    });
    drawn.map(|svg| shapes.onto(svg))
}

const CURVES_HEIGHT: u32 = 900;
/// An axis counts in units of this many degrees, so that whole numbers are where one wants labels.
const DEGREES: f64 = 30.0;
/// Samples in each unit of an axis.
const SAMPLES: usize = 120;
/// What a curve rises between two samples, at most: more is a jump.
const JUMP: f64 = 0.08;

fn radians(units: f64) -> f64 {
    (units * DEGREES).to_radians()
}

fn degrees(units: &f64) -> String {
    // Rounding leaves a little of a whole unit.
    format!("{}°", number((units * DEGREES).round()))
}

/// Samples of an axis of `units`, both ends included.
fn samples(units: usize) -> impl Iterator<Item = f64> {
    (0..=units * SAMPLES).map(|i| i as f64 / SAMPLES as f64)
}

/// The first and last of some samples in a row, and a point of each degree.
fn thinned(samples: &[(f64, f64)]) -> Vec<(f64, f64)> {
    const EVERY: usize = 4;
    let last = samples.len().saturating_sub(1);
    let kept = |i: &usize| i.is_multiple_of(EVERY) || *i == last;
    samples.iter().enumerate().filter(|(i, _)| kept(i)).map(|(_, point)| *point).collect()
}

/// Lines and areas as SVG text. The drawing library rounds points to whole units, which makes smooth lines uneven.
#[derive(Default)]
struct Shapes(String);

/// Where a chart lies in the picture: the units at the origin of its axes, and those of a step along each.
struct Frame {
    origin: (f64, f64),
    step: (f64, f64),
}

impl Frame {
    fn of(chart: &Chart) -> Self {
        let (x, y) = (chart.x_range(), chart.y_range());
        let corners = [(x.start, y.start), (x.end, y.end)].map(|place| chart.backend_coord(&place));
        let [low, high] = corners.map(|(x, y)| (f64::from(x), f64::from(y)));
        let step = ((high.0 - low.0) / (x.end - x.start), (high.1 - low.1) / (y.end - y.start));
        Self { origin: (low.0 - x.start * step.0, low.1 - y.start * step.1), step }
    }
}

impl Shapes {
    fn line(
        &mut self,
        frame: &Frame,
        points: &[(f64, f64)],
        colour: RGBColor,
        width: u32,
        dashes: Option<(i32, i32)>,
    ) {
        let dashes =
            dashes.map_or(String::new(), |(dash, gap)| format!(" stroke-dasharray=\"{dash} {gap}\""));
        let style = format!("fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\"{dashes}", hex(colour));
        self.shape("polyline", frame, points, &style);
    }

    fn area(&mut self, frame: &Frame, points: &[(f64, f64)], colour: RGBColor) {
        self.shape("polygon", frame, points, &format!("fill=\"{}\" fill-opacity=\"0.3\"", hex(colour)));
    }

    fn shape(&mut self, element: &str, frame: &Frame, points: &[(f64, f64)], style: &str) {
        if points.len() < 2 {
            return;
        }
        let Frame { origin, step } = frame;
        let place =
            |(x, y): &(f64, f64)| format!("{:.1},{:.1}", origin.0 + x * step.0, origin.1 + y * step.1);
        let points: Vec<String> = points.iter().map(place).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "<{element} points=\"{}\" {style}/>", points.join(" "));
    }

    /// The picture with these on top.
    fn onto(self, mut svg: String) -> String {
        if let Some(end) = svg.rfind("</svg>") {
            svg.insert_str(end, &self.0);
        }
        svg
    }
}

/// The dashes of the line with this number; none for the first five.
fn dashes(index: usize) -> Option<(i32, i32)> {
    [None, Some((22, 10)), Some((5, 9)), Some((44, 14))][index / 5 % 4]
}

fn curves(area: &Area, title: &str, heads: &[LogitCurve], shapes: &mut Shapes) -> Drawn<()> {
    let legend: Vec<_> = heads.iter().enumerate().map(|(i, head)| (mark(i), head.name.to_owned())).collect();
    let area = heading(area, title, &legend)?;
    let lines: Vec<_> = heads.iter().map(|head| pieces(head.target)).collect();
    let (low, high) = extent(lines.iter().flatten().flatten().map(|point| point.1));
    let step = if high - low > 4.0 { 1.0 } else { 0.5 };
    let axes = Axes {
        x: (0.0, PI.to_degrees() / DEGREES),
        y: ((low / step).floor() * step, (high / step).ceil() * step),
        x_label: "angle θ between embedding and class weight",
        y_label: "target logit / scale",
        x_ticks: 7,
        y_ticks: 9,
        x_format: &degrees,
        y_format: &|y| number(*y),
    };
    let frame = Frame::of(&chart(&area, &axes)?);
    // Those that come first are the last to be drawn, and on top.
    for (i, line) in lines.iter().enumerate().rev() {
        for piece in line {
            shapes.line(&frame, &thinned(piece), line_colour(i), 5, dashes(i));
        }
    }
    Ok(())
}

fn mark(index: usize) -> Mark {
    match dashes(index) {
        None => Mark::Line(line_colour(index)),
        Some(dashes) => Mark::Dashes(line_colour(index), dashes),
    }
}

/// The curve of `target` in pieces without a gap.
fn pieces(target: &dyn Fn(f64) -> f64) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut before = f64::NAN;
    for x in samples(6) {
        let y = target(radians(x));
        match pieces.last_mut() {
            Some(piece) if (y - before).abs() <= JUMP => piece.push((x, y)),
            _ if y.is_finite() => pieces.push(vec![(x, y)]),
            _ => {}
        }
        before = y;
    }
    pieces
}

/// The cells in a row, for a number of heads, and the width of one.
fn cell(heads: usize) -> (usize, u32) {
    let columns = heads.clamp(2, 4);
    (columns, (WIDTH - 2 * MARGIN as u32) / columns as u32)
}

/// Beside a square, on the left and the right.
const BESIDE: [u32; 2] = [78, 24];
/// Below a square: the labels of the axis, and a gap. As much as beside it, so that it is one.
const BELOW: [u32; 2] = [64, 38];
/// The room for the name above a square.
const NAME: u32 = 46;
/// Title, legend and footnote.
const AROUND: u32 = 240;

fn boundaries_height(heads: usize) -> u32 {
    let (columns, side) = cell(heads);
    AROUND + heads.div_ceil(columns) as u32 * (side + NAME)
}

fn squares(area: &Area, title: &str, heads: &[LogitCurve], shapes: &mut Shapes) -> Drawn<()> {
    let legend = [
        (Mark::Filled(BLUE), "class 1".into()),
        (Mark::Filled(ORANGE), "class 2".into()),
        (Mark::Dashed(NEUTRAL), "θ₁ = θ₂".into()),
    ];
    let area = heading(area, title, &legend)?;
    let area = footnote(
        &area,
        "θ₁, θ₂: the angles between an embedding and the weights of class 1 and class 2. Shaded: where its logit as \
         the target, with the margin, is at least the other's. The blank band is the decision margin.",
    )?;
    let (columns, side) = cell(heads.len());
    for (i, head) in heads.iter().enumerate() {
        let (row, column) = ((i / columns) as u32, (i % columns) as u32);
        let (x, y) = (MARGIN as u32 + column * side, row * (side + NAME));
        let cell = area.clone().shrink((x, y), (side, side + NAME));
        square(&cell, head, shapes)?;
    }
    Ok(())
}

/// One head in its cell.
fn square(cell: &Area, head: &LogitCurve, shapes: &mut Shapes) -> Drawn<()> {
    const SMALL: i32 = FONT * 3 / 4;
    const END: f64 = 3.0;
    let width = cell.dim_in_pixel().0 as i32;
    // Without the font the width of text is a guess, on the wide side.
    let size = (width * 100 / (72 * head.name.chars().count().max(1) as i32)).min(SMALL + 4);
    let middle = (width + BESIDE[0] as i32 - BESIDE[1] as i32) / 2;
    let name = bold(size).pos(Pos::new(HPos::Center, VPos::Center));
    cell.draw(&Text::new(printable(head.name), (middle, NAME as i32 / 2), name))?;
    let (_, below) = cell.split_vertically(NAME as i32);
    let mut panel = ChartBuilder::on(&below)
        .margin_right(BESIDE[1])
        .margin_bottom(BELOW[1])
        .set_label_area_size(LabelAreaPosition::Left, BESIDE[0])
        .set_label_area_size(LabelAreaPosition::Bottom, BELOW[0])
        .build_cartesian_2d(0.0..END, 0.0..END)?;
    panel
        .configure_mesh()
        .x_labels(4)
        .y_labels(4)
        .x_label_formatter(&degrees)
        .y_label_formatter(&degrees)
        .x_desc("θ₁")
        .y_desc("θ₂")
        .label_style(font(SMALL - 2))
        .axis_desc_style(font(SMALL))
        .axis_style(AXIS.stroke_width(2))
        .bold_line_style(GRID.stroke_width(2))
        .light_line_style(TRANSPARENT)
        .draw()?;
    let frame = Frame::of(&panel);
    let strips = strips(head);
    // Class 2 is class 1 with the angles swapped.
    for (is_swapped, colour) in [(false, BLUE), (true, ORANGE)] {
        let placed = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
            thinned(points).into_iter().map(|(x, y)| if is_swapped { (y, x) } else { (x, y) }).collect()
        };
        for Strip { low, high } in &strips {
            let corners: Vec<_> = placed(low).into_iter().chain(placed(high).into_iter().rev()).collect();
            shapes.area(&frame, &corners, colour);
            for edge in [low, high] {
                for line in edge.split(|point| point.1 <= 0.0 || point.1 >= END) {
                    shapes.line(&frame, &placed(line), colour, 4, None);
                }
            }
        }
    }
    shapes.line(&frame, &[(0.0, 0.0), (END, END)], NEUTRAL, 3, Some((10, 8)));
    Ok(())
}

/// A part of a region: between two edges over the same θ₁.
#[derive(Default)]
struct Strip {
    low: Vec<(f64, f64)>,
    high: Vec<(f64, f64)>,
}

/// The region of class 1, in units of the axes. θ₁ grows along a strip; a new one begins where the number of intervals
/// of θ₂ changes.
fn strips(head: &LogitCurve) -> Vec<Strip> {
    let mut done: Vec<Strip> = Vec::new();
    let mut open: Vec<Strip> = Vec::new();
    for x in samples(3) {
        let target = (head.target)(radians(x));
        let intervals = intervals(|y| target - (head.other)(radians(y)));
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
    for y in samples(3).skip(1) {
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
    use super::*;
    use crate::chart::{hex, texts_of_well_formed};

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
    fn shapes(svg: &str, element: &str, colour: RGBColor) -> Vec<Vec<(f64, f64)>> {
        let colour = format!("\"{}\"", hex(colour));
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
            for (svg, times) in [
                (target_logits("a title", &heads[..count]).unwrap(), 1),
                (decision_boundaries("a title", &heads[..count]).unwrap(), 1),
                (logits(&heads[..count]).unwrap(), 2),
            ] {
                let texts = texts_of_well_formed(&svg);
                for i in 0..count {
                    let name = format!("head &lt;{i}&gt; &amp; co");
                    assert_eq!(texts.iter().filter(|text| **text == name).count(), times, "{name}");
                }
            }
        }
    }

    #[test]
    fn twenty_lines_look_different() {
        let looks: Vec<_> = (0..20).map(|i| (line_colour(i), dashes(i))).collect();
        for (i, look) in looks.iter().enumerate() {
            assert!(!looks[..i].contains(look), "{i}");
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
        let svg = target_logits("a title", &heads).unwrap();
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
        assert!((radians(end.0) - (PI - MARGIN_OF_ARCFACE)).abs() < 0.005, "{end:?}");
        let hole = pieces(&|theta| if (1.0..2.0).contains(&theta) { f64::NAN } else { 0.0 });
        assert_eq!(hole.len(), 2);
        assert!(pieces(&|_| f64::INFINITY).is_empty());
        texts_of_well_formed(&target_logits("none", &[head("none", &|_| f64::NAN)]).unwrap());
        texts_of_well_formed(&decision_boundaries("none", &[head("none", &|_| f64::NAN)]).unwrap());
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
        let units = sum / DEGREES;
        let on_line = samples(3).map(|x| (x, units - x)).filter(|p| (0.0..=3.0).contains(&p.1));
        let blank = on_line.filter(|&(x, y)| !is_in(x, y) && !is_in(y, x)).count();
        blank as f64 * DEGREES / SAMPLES as f64
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
        let svg = decision_boundaries("a title", &heads).unwrap();
        for colour in [BLUE, ORANGE] {
            // The legend is drawn with rectangles.
            assert_eq!(shapes(&svg, "polygon", colour).len(), 1, "{svg}");
        }
        for (x, y) in strips(&heads[0]).iter().flat_map(|strip| &strip.low) {
            // cos θ₁ − 0.35 = cos θ₂.
            assert!((cosface(radians(*x)) - radians(*y).cos()).abs() < 1e-6, "{x}, {y}");
        }
        assert!(strips(&head("never", &|_| -2.0)).is_empty());
        let everywhere = strips(&head("everywhere", &|_| 2.0));
        assert_eq!(everywhere.len(), 1);
        assert!(
            everywhere[0].low.iter().all(|p| p.1 == 0.0) && everywhere[0].high.iter().all(|p| p.1 == 3.0)
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
            let found = [radians(x), radians(low), radians(high)];
            for (found, expected) in found.into_iter().zip([PI / 3.0, expected_low, expected_high]) {
                assert!((found - expected).abs() < 0.005, "{found} is not {expected}");
            }
        }
    }
}
