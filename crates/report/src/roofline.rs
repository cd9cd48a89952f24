//! The roofline of a machine and how far operators come up to it.

use std::fmt::Write;

use plotters::{element::DashedPathElement, prelude::*};

use crate::{
    chart::{
        Axes, DrawError, Mark, NEUTRAL, TEXT, chart, draw, extent, footnote, heading, hex, line_colour,
        marker, number,
    },
    html::escaped,
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
        let place = (self.intensity.log2(), (self.operations_per_second / 1e9).log2());
        (place.0.is_finite() && place.1.is_finite()).then_some(place)
    }
}

/// Half the size of a marker.
const RADIUS: f64 = 11.0;
/// Between the points and the edges, as a power of two.
const ROOM: f64 = 0.2;

/// The speed of operators over their arithmetic intensity, below the roofs of memory and arithmetic, as SVG.
///
/// This is the roofline model of Williams, Waterman & Patterson (2009). Both axes are logarithmic. Forward
/// passes are hollow, backward passes filled; points that have no place on such axes are left out. A point is an
/// SVG group of class `operator`, with its name as title.
///
/// # Errors
/// If the drawing library fails.
pub fn roofline(roofline: &Roofline) -> Result<String, DrawError> {
    let mut markers = String::new();
    let mut svg = draw("the roofline", 1080, |area| {
        let (gflops, gigabytes) = (roofline.operations_per_second / 1e9, roofline.bytes_per_second / 1e9);
        let mut legend = vec![
            (Mark::Line(TEXT), format!("matrix product: {} GFLOP/s", number(round(gflops)))),
            (Mark::Dashed(TEXT), format!("memory: {} GB/s", number(round(gigabytes)))),
        ];
        let drawn = roofline.families.iter().enumerate().filter(|(_, family)| !family.points.is_empty());
        legend.extend(drawn.map(|(i, family)| {
            let mark = Mark::Marker { colour: line_colour(i), corners: corners(i), filled: true };
            (mark, family.name.clone())
        }));
        legend.extend([false, true].map(|filled| {
            let name = if filled { "backward" } else { "forward" };
            (Mark::Marker { colour: NEUTRAL, corners: corners(0), filled }, name.into())
        }));
        let area = heading(area, &roofline.title, &legend)?;
        let area = footnote(&area, &roofline.notes)?;

        let places = || {
            let points = roofline.families.iter().flat_map(|family| &family.points);
            points.filter_map(OperatorPoint::place)
        };
        // The roofs meet here, and both are to be seen.
        let ridge = ((gflops / gigabytes).log2(), gflops.log2());
        let x = extent(places().map(|place| place.0).chain([ridge.0 - 1.0, ridge.0 + 1.0]));
        let y = extent(places().map(|place| place.1).chain([ridge.1 - 1.0, ridge.1]));
        let whole = |(low, high): (f64, f64)| ((low - ROOM).floor(), (high + ROOM).ceil());
        let (x, y) = (whole(x), whole(y));
        let axes = Axes {
            x,
            y,
            x_label: "floating-point operations per byte moved at least once",
            y_label: "GFLOP/s",
            x_ticks: 12,
            y_ticks: 12,
            x_format: &power_of_two,
            y_format: &power_of_two,
        };
        let panel = chart(&area, &axes)?;
        let pixel = |place: (f64, f64)| panel.backend_coord(&place);
        // A roof of slope one, from where it comes into the picture.
        let start = x.0.max(ridge.0 - (ridge.1 - y.0));
        let slope = [(start, ridge.1 - (ridge.0 - start)), ridge].map(pixel);
        let flat = [ridge, (x.1, ridge.1)].map(pixel);
        let root = panel.plotting_area().strip_coord_spec();
        let (left, top) = pixel((x.0, y.1));
        let relative = |(x, y): (i32, i32)| (x - left, y - top);
        root.draw(&DashedPathElement::new(slope.map(relative), 12, 8, TEXT.stroke_width(4)))?;
        root.draw(&PathElement::new(flat.map(relative), TEXT.stroke_width(4)))?;

        for (i, family) in roofline.families.iter().enumerate() {
            for point in &family.points {
                if let Some(place) = point.place() {
                    push_marker(&mut markers, point, pixel(place), i);
                }
            }
        }
        Ok(())
    })?;
    // The drawing library knows neither groups nor titles.
    if let Some(end) = svg.rfind("</svg>") {
        svg.insert_str(end, &markers);
    }
    Ok(svg)
}

/// Writes the marker of a point of the family with this number.
fn push_marker(svg: &mut String, point: &OperatorPoint, (x, y): (i32, i32), family: usize) {
    let colour = hex(line_colour(family));
    let fill = if point.is_backward { &colour } else { "none" };
    let corners: Vec<String> =
        corners(family).into_iter().map(|(dx, dy)| format!("{},{}", x + dx, y + dy)).collect();
    // Writing to a string cannot fail.
    let _ = writeln!(
        svg,
        "<g class=\"operator\"><title>{}: {:.1} GFLOP/s, {:.2} operations per byte</title>\n<polygon \
         points=\"{}\" fill=\"{fill}\" fill-opacity=\"0.6\" stroke=\"{colour}\" stroke-width=\"3\" \
         pointer-events=\"all\"/></g>",
        escaped(&point.name),
        point.operations_per_second / 1e9,
        point.intensity,
        corners.join(" ")
    );
}

/// The corners of the marker of the family with this number, around its middle.
fn corners(family: usize) -> Vec<(i32, i32)> {
    marker(family % 5, RADIUS)
}

/// A whole power of two as a number; nothing between them.
fn power_of_two(exponent: &f64) -> String {
    let whole = exponent.round();
    match (exponent - whole).abs() < 1e-6 {
        true if whole < 0.0 => format!("1/{}", number((-whole).exp2())),
        true => number(whole.exp2()),
        false => String::new(),
    }
}

/// Three significant digits, and all those before the point.
fn round(value: f64) -> f64 {
    let digits = 10_f64.powi((2 - value.abs().max(1e-3).log10().floor() as i32).max(0));
    (value * digits).round() / digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::texts_of_well_formed;

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
        let svg = roofline(&example()).unwrap();
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
        assert_eq!(svg.matches("<g class=\"operator\">").count(), 3);
        assert_eq!(svg.matches("fill=\"none\" fill-opacity").count(), 2);
    }

    /// The first corner of each marker, which lies at the same place relative to its middle within a family.
    fn places(svg: &str) -> Vec<(f64, f64)> {
        let markers = svg.split("<g class=\"operator\">").skip(1);
        let corner = |marker: &str| {
            let points = marker.split("points=\"").nth(1).unwrap().split(' ').next().unwrap();
            let (x, y) = points.split_once(',').unwrap();
            (x.parse().unwrap(), y.parse().unwrap())
        };
        markers.map(corner).collect()
    }

    #[test]
    fn axes_are_logarithmic() {
        let points = [(1.0, 10.0), (4.0, 40.0), (16.0, 160.0)].map(|(x, y)| point("", false, x, y));
        let family = OperatorFamily { points: points.into(), ..OperatorFamily::default() };
        let places = places(&roofline(&Roofline { families: vec![family], ..example() }).unwrap());
        let [(x0, y0), (x1, y1), (x2, y2)] = places[..] else { panic!("{places:?}") };
        assert!(x1 > x0 + 20.0 && y1 < y0 - 20.0, "{places:?}");
        assert!(((x2 - x1) - (x1 - x0)).abs() <= 2.0 && ((y2 - y1) - (y1 - y0)).abs() <= 2.0, "{places:?}");
    }

    #[test]
    fn a_roof_stays_in_the_picture() {
        for (operations, bytes) in [(1e9, 1e12), (1e15, 1e9), (2e11, 8e10)] {
            let machine =
                Roofline { operations_per_second: operations, bytes_per_second: bytes, ..example() };
            texts_of_well_formed(&roofline(&machine).unwrap());
            texts_of_well_formed(&roofline(&Roofline { families: vec![], ..machine }).unwrap());
        }
    }
}
