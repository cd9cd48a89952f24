//! The roofline of a machine and how far operators come up to it.

use crate::{
    chart::{Axis, Chart, Layer, Panel, extent, multiples, number, round_step, rounded},
    svg::{Colour, Look, NEUTRAL, Picture, TEXT, line_colour},
};

/// What [`roofline`] draws.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Roofline {
    /// The title.
    pub title: String,
    /// The arithmetic peak, in floating-point operations a second.
    pub operations_per_second: f64,
    /// The bandwidth of the memory, in bytes a second.
    pub bytes_per_second: f64,
    /// Operators of one kind, each kind with its marker, which repeats after five; the legend leaves out a kind
    /// without points.
    pub families: Vec<OperatorFamily>,
    /// What to know to read the picture, written below it.
    pub notes: String,
}

/// Operators of one kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OperatorFamily {
    /// The name, for the legend.
    pub name: String,
    /// The operators.
    pub points: Vec<OperatorPoint>,
}

/// One pass of an operator.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OperatorPoint {
    /// The name, which a browser shows under the pointer.
    pub name: String,
    /// Whether this is the backward pass, whose marker is filled.
    pub is_backward: bool,
    /// Arithmetic intensity: floating-point operations per byte that is moved at least once.
    pub intensity: f64,
    /// Floating-point operations a second.
    pub operations_per_second: f64,
}

impl OperatorPoint {
    /// Where it lies on the axes; nowhere without operations or bytes.
    fn place(&self) -> Option<(f64, f64)> {
        let place = (self.intensity, self.operations_per_second / 1e9);
        (place.0.log2().is_finite() && place.1.log2().is_finite()).then_some(place)
    }

    fn layer(&self, look: Look) -> Option<Layer> {
        let (operations, rate) = self.place()?;
        let title = format!("{}: {rate:.1} GFLOP/s, {operations:.2} operations per byte", self.name);
        Some(Layer::new(look, [(operations, rate)]).titled(title))
    }
}

/// The speed of operators over their arithmetic intensity, below the roofs of memory and arithmetic.
///
/// This is the roofline model of Williams, Waterman & Patterson (2009). Both axes are logarithmic. Forward
/// passes are hollow, backward passes filled; points that have no place on such axes are left out. A point has its name as
/// title.
pub fn roofline(roofline: &Roofline) -> Picture {
    let (gflops, gigabytes) = (roofline.operations_per_second / 1e9, roofline.bytes_per_second / 1e9);
    let families = || roofline.families.iter().enumerate();
    let shown = families().filter(|(_, family)| !family.points.is_empty());
    let entry = |(i, family): (usize, &OperatorFamily)| {
        Layer::entry(marker(line_colour(i), i, true), family.name.clone())
    };
    let mut layers: Vec<Layer> = shown.map(entry).collect();
    layers.push(Layer::entry(marker(NEUTRAL, 0, false), "forward"));
    layers.push(Layer::entry(marker(NEUTRAL, 0, true), "backward"));
    let points = || families().flat_map(|(i, family)| family.points.iter().map(move |point| (i, point)));
    let places: Vec<(f64, f64)> = points().filter_map(|(_, point)| point.place()).collect();
    // The roofs meet here, and both are to be seen.
    let ridge = gflops / gigabytes;
    let intensities = places.iter().map(|place| place.0).chain([ridge / 2.0, ridge * 2.0]);
    let x = powers_of_two("floating-point operations per byte moved at least once", intensities);
    let y = powers_of_two("GFLOP/s", places.iter().map(|place| place.1).chain([gflops / 2.0, gflops]));
    // A roof of slope one, from where it comes into the picture.
    let start = x.range.0.max(y.range.0 / gigabytes);
    let slope = [(start, start * gigabytes), (ridge, gflops)];
    let flat = [(ridge, gflops), (x.range.1, gflops)];
    let layer =
        |(i, point): (usize, &OperatorPoint)| point.layer(marker(line_colour(i), i, point.is_backward));
    layers.extend(points().filter_map(layer));
    let [product, memory] = [gflops, gigabytes].map(|rate| rounded(rate, 3));
    layers.push(Layer::new(Look::line(TEXT), flat).named(format!("matrix product: {product} GFLOP/s")));
    layers.push(Layer::new(Look::dashed(TEXT), slope).named(format!("memory: {memory} GB/s")));
    let chart = Chart::new(&roofline.title, Panel::new([x, y], Some(560.0), layers));
    Chart { notes: roofline.notes.clone(), ..chart }.picture()
}

/// The marker of the family with this number.
fn marker(colour: Colour, family: usize, is_filled: bool) -> Look {
    Look::Markers { colour, shape: family % 5, radius: 11.0, fill: if is_filled { 0.6 } else { 0.0 } }
}

/// An axis of whole powers of two around some values.
fn powers_of_two(label: &str, values: impl Iterator<Item = f64>) -> Axis {
    /// Between the points and the edges, as a power of two.
    const ROOM: f64 = 0.2;
    let (low, high) = extent(values.map(f64::log2));
    let (low, high) = ((low - ROOM).floor(), (high + ROOM).ceil());
    let powers = multiples((low, high), round_step(high - low, 12).max(1.0));
    let write = |power: f64| match power < 0.0 {
        true => format!("1/{}", number((-power).exp2())),
        false => number(power.exp2()),
    };
    let ticks = powers.map(|power| (power.exp2(), write(power)));
    Axis::new(label, (low.exp2(), high.exp2()), f64::log2, ticks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts_of_well_formed;

    fn point(name: &str, is_backward: bool, intensity: f64, gflops: f64) -> OperatorPoint {
        OperatorPoint { name: name.into(), is_backward, intensity, operations_per_second: gflops * 1e9 }
    }

    fn example() -> Roofline {
        Roofline {
            title: "iresnet18 & co".into(),
            operations_per_second: 217.04e9,
            bytes_per_second: 80.12e9,
            families: vec![
                OperatorFamily {
                    name: "3x3".into(),
                    points: vec![point("a <b>", false, 140.0, 460.0), point("c", true, 190.0, 300.0)],
                },
                OperatorFamily {
                    name: "joins".into(),
                    points: vec![
                        point("d", false, 0.3, 5.0),
                        point("nothing to do", false, 0.0, 0.0),
                        point("no time", false, 1.0, f64::INFINITY),
                    ],
                },
            ],
            notes: "Read with care.".into(),
        }
    }

    #[test]
    fn every_operator_with_a_place_is_a_point() {
        let svg = roofline(&example()).to_svg();
        let texts = texts_of_well_formed(&svg);
        for text in [
            "iresnet18 &amp; co",
            "matrix product: 217 GFLOP/s",
            "memory: 80.1 GB/s",
            "forward",
            "backward",
            "3x3",
            "joins",
            "1/4",
            "256",
            "GFLOP/s",
            "Read with care.",
            "a &lt;b&gt;: 460.0 GFLOP/s, 140.00 operations per byte",
        ] {
            assert!(texts.iter().any(|t| t == text), "{text} in {texts:?}");
        }
        assert_eq!(svg.matches("<g><title>").count(), 3);
        let hollow = |point: &&str| {
            point.split("</g>").next().is_some_and(|point| point.contains("fill-opacity=\"0\""))
        };
        assert_eq!(svg.split("<g><title>").skip(1).filter(hollow).count(), 2);
    }

    /// The first corner of each marker, which lies at the same place relative to its middle within a family.
    fn places(svg: &str) -> Vec<(f64, f64)> {
        let markers = svg.split("<g><title>").skip(1);
        let corner = |marker: &str| {
            let start = marker.split("d=\"M").nth(1).unwrap().split('l').next().unwrap();
            let (x, y) = start.split_once(',').unwrap();
            (x.parse().unwrap(), y.parse().unwrap())
        };
        markers.map(corner).collect()
    }

    #[test]
    fn axes_are_logarithmic() {
        let points = [(1.0, 10.0), (4.0, 40.0), (16.0, 160.0)].map(|(x, y)| point("", false, x, y));
        let family = OperatorFamily { points: points.into(), ..OperatorFamily::default() };
        let places = places(&roofline(&Roofline { families: vec![family], ..example() }).to_svg());
        // The first lies on top, and is drawn last.
        let [(x2, y2), (x1, y1), (x0, y0)] = places[..] else { panic!("{places:?}") };
        assert!(x1 > x0 + 20.0 && y1 < y0 - 20.0, "{places:?}");
        assert!(((x2 - x1) - (x1 - x0)).abs() <= 2.0 && ((y2 - y1) - (y1 - y0)).abs() <= 2.0, "{places:?}");
    }

    #[test]
    fn a_roof_stays_in_the_picture() {
        for (operations, bytes) in [(1e9, 1e12), (1e15, 1e9), (2e11, 8e10)] {
            let machine =
                Roofline { operations_per_second: operations, bytes_per_second: bytes, ..example() };
            texts_of_well_formed(&roofline(&machine).to_svg());
            texts_of_well_formed(&roofline(&Roofline { families: vec![], ..machine }).to_svg());
        }
    }
}
