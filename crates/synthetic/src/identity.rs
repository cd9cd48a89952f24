//! What makes a synthetic person: all that stays the same from picture to picture.

use facegrad_random::Stream;

use super::canvas::{Point, Rgb, mix_rgb};

/// A synthetic person. Lengths are in template units (112 to the picture side) for a face whose pupils lie
/// about 35 apart; y counts downwards from the line of the eyes.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub shape: Shape,
    pub skin: Skin,
    pub hair: Hair,
    pub brows: Brows,
    pub eyes: Eyes,
    pub nose: Nose,
    pub mouth: Mouth,
    pub ears: Ears,
    pub beard: Beard,
    /// Moles, freckles and the like.
    pub marks: Vec<Mark>,
    /// Two ends of a scar.
    pub scar: Option<[Point; 2]>,
    /// Seed of textures that stay with the person.
    pub texture: u32,
}

/// The outline of the head.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// Half width at the cheekbones.
    pub cheek: f32,
    /// Half width at the temples and at the corners of the jaw, relative to the cheekbones.
    pub temple: f32,
    pub jaw: f32,
    /// The lowest point of the chin.
    pub chin: f32,
    /// 0 for a pointed chin, 1 for a square one.
    pub square: f32,
    /// Strength of cheekbone shading, of the fold from nose to mouth and of lines on the forehead, 0 to 1.
    pub cheekbone: f32,
    pub fold: f32,
    pub wrinkles: f32,
    /// A cleft in the chin, 0 to 1.
    pub cleft: f32,
}

#[derive(Debug, Clone)]
pub(super) struct Skin {
    pub colour: Rgb,
    /// Redness of the cheeks, 0 to 1.
    pub blush: f32,
}

#[derive(Debug, Clone)]
pub(super) struct Hair {
    pub colour: Rgb,
    /// Whether there is any on top of the head.
    pub bald: bool,
    /// Height of the hairline at the middle of the forehead.
    pub line: f32,
    /// How far the line recedes above the temples.
    pub recession: f32,
    /// Depth of a widow's peak.
    pub peak: f32,
    /// Where the hair is parted, -1 to 1 across the forehead.
    pub part: f32,
    /// How far a fringe hangs below the hairline, on either side of the parting.
    pub fringe: [f32; 2],
    /// How far hair stands off the side of the head.
    pub volume: f32,
    /// Down to which height hair hangs beside the face.
    pub length: f32,
    /// Strands per unit, low for curls.
    pub strands: f32,
}

#[derive(Debug, Clone)]
pub(super) struct Brows {
    pub height: f32,
    pub thickness: f32,
    /// Slope, positive where the outer end is higher.
    pub slope: f32,
    pub arch: f32,
    pub half_length: f32,
    /// How far the brow is moved towards the outside of the eye.
    pub offset: f32,
    pub colour: Rgb,
    pub density: f32,
}

#[derive(Debug, Clone)]
pub(super) struct Eyes {
    /// Half the distance of the pupils.
    pub spacing: f32,
    pub half_width: f32,
    /// Opening from lid to lid.
    pub opening: f32,
    /// Slope, positive where the outer corner is higher.
    pub slope: f32,
    /// Where the upper lid is highest: positive towards the outside.
    pub skew: f32,
    pub iris: f32,
    pub iris_colour: Rgb,
    /// Distance of the lid crease from the lid; 0 for none.
    pub crease: f32,
    pub lashes: f32,
    /// How deep the eyes lie, and how visible the bags below them are, 0 to 1.
    pub socket: f32,
    pub bags: f32,
}

#[derive(Debug, Clone)]
pub(super) struct Nose {
    /// Height of the tip below the eyes.
    pub length: f32,
    /// Half width at the wings and at the bridge.
    pub width: f32,
    pub bridge: f32,
    /// How far the tip stands out.
    pub projection: f32,
    /// Radius of the tip.
    pub tip: f32,
    pub nostrils: f32,
    /// Sideways bend of the ridge.
    pub bend: f32,
}

#[derive(Debug, Clone)]
pub(super) struct Mouth {
    pub height: f32,
    pub half_width: f32,
    /// Thickness of the upper and of the lower lip.
    pub upper: f32,
    pub lower: f32,
    /// Depth of the cupid's bow, 0 to 1.
    pub bow: f32,
    /// How far the corners point up (or down) at rest.
    pub corners: f32,
    pub colour: Rgb,
}

#[derive(Debug, Clone)]
pub(super) struct Ears {
    pub half_height: f32,
    pub stand_off: f32,
    pub height: f32,
}

/// Opacity of each part of a beard.
#[derive(Debug, Clone, Default)]
pub(super) struct Beard {
    pub moustache: f32,
    pub goatee: f32,
    pub cheeks: f32,
    /// Height of the upper edge on the cheeks.
    pub edge: f32,
}

/// A spot on the skin.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub at: Point,
    pub radius: f32,
    pub darkness: f32,
}

impl Identity {
    /// A person drawn at random.
    pub fn draw(r: &mut Stream) -> Self {
        let shape = Shape {
            cheek: r.range(34.5, 43.0),
            temple: r.range(0.86, 1.0),
            jaw: r.range(0.66, 1.0),
            chin: r.range(53.0, 67.0),
            square: r.uniform(),
            cheekbone: r.uniform(),
            fold: r.uniform(),
            wrinkles: if r.chance(0.4) { r.uniform() } else { 0.0 },
            cleft: if r.chance(0.25) { r.range(0.4, 1.0) } else { 0.0 },
        };
        let (melanin, redness) = (r.uniform(), r.uniform());
        let light = mix_rgb([0.62, 0.44, 0.33], [0.66, 0.40, 0.32], redness);
        let dark = mix_rgb([0.24, 0.135, 0.075], [0.25, 0.12, 0.08], redness);
        let skin = Skin { colour: mix_rgb(light, dark, melanin), blush: r.uniform() };
        let hair = Hair::draw(r, melanin);
        let brows = Brows {
            height: r.range(8.5, 14.0),
            thickness: r.range(1.3, 4.6),
            slope: r.range(-0.14, 0.26),
            arch: r.range(0.0, 3.6),
            half_length: r.range(7.5, 11.5),
            offset: r.range(-1.2, 2.2),
            colour: mix_rgb(hair.colour, [0.03, 0.02, 0.015], r.range(0.3, 0.9)),
            density: r.range(0.5, 0.95),
        };
        let irises = [
            [0.05, 0.025, 0.012],
            [0.16, 0.08, 0.03],
            [0.14, 0.17, 0.08],
            [0.16, 0.27, 0.42],
            [0.3, 0.33, 0.34],
        ];
        let [a, b] = [irises[r.below(irises.len())], irises[r.below(irises.len())]];
        let eyes = Eyes {
            spacing: r.range(15.4, 19.6),
            half_width: r.range(6.4, 9.4),
            opening: r.range(3.8, 8.2),
            slope: r.range(-0.18, 0.24),
            skew: r.range(-0.35, 0.35),
            iris: r.range(2.9, 4.1),
            iris_colour: mix_rgb(a, b, r.uniform() * 0.5),
            crease: if r.chance(0.25) { 0.0 } else { r.range(1.2, 4.0) },
            lashes: r.range(0.6, 1.7),
            socket: r.uniform(),
            bags: if r.chance(0.5) { r.uniform() } else { 0.0 },
        };
        let nose = Nose {
            length: r.range(15.5, 25.5),
            width: r.range(5.2, 10.5),
            bridge: r.range(1.8, 4.4),
            projection: r.range(8.0, 18.0),
            tip: r.range(2.6, 5.2),
            nostrils: r.range(0.6, 1.6),
            bend: if r.chance(0.3) { r.range(-1.8, 1.8) } else { 0.0 },
        };
        let lips = mix_rgb(skin.colour, [0.45, 0.13, 0.13], r.range(0.25, 0.7));
        let mouth = Mouth {
            height: r.range(35.0, 45.0),
            half_width: r.range(10.0, 16.5),
            upper: r.range(0.9, 4.0),
            lower: r.range(1.6, 5.4),
            bow: r.uniform(),
            corners: r.range(-1.4, 1.4),
            colour: lips,
        };
        let ears = Ears {
            half_height: r.range(8.0, 13.0),
            stand_off: r.range(-1.0, 5.5),
            height: r.range(3.0, 10.0),
        };
        let beard = Beard::draw(r);
        let mut marks: Vec<Mark> = (0..r.below(4)).map(|_| Mark::mole(r)).collect();
        if r.chance(0.2) {
            let darkness = r.range(0.2, 0.5);
            let count = 15 + r.below(25);
            marks.extend((0..count).map(|_| Mark {
                at: [r.range(-27.0, 27.0), r.range(6.0, 26.0)],
                radius: r.range(0.4, 0.9),
                darkness,
            }));
        }
        let scar = r.chance(0.12).then(|| {
            let [x, y] = [r.range(-28.0, 28.0), r.range(-30.0, 40.0)];
            [[x, y], [x + r.range(-7.0, 7.0), y + r.range(-9.0, 9.0)]]
        });
        let texture = r.bits();
        Self { shape, skin, hair, brows, eyes, nose, mouth, ears, beard, marks, scar, texture }
    }
}

impl Hair {
    fn draw(r: &mut Stream, melanin: f32) -> Self {
        // Blond, red and light brown hair goes with light skin more often than with dark skin.
        let lightest = 1.0 - 0.75 * melanin;
        let brown =
            mix_rgb([0.012, 0.009, 0.007], [0.38, 0.24, 0.10], r.uniform() * r.uniform() * lightest * 1.6);
        let colour = match r.below(8) {
            0 => mix_rgb(brown, [0.34, 0.33, 0.32], r.range(0.4, 1.0)),
            1 => mix_rgb(brown, [0.30, 0.08, 0.02], r.range(0.3, 1.0) * lightest),
            _ => brown,
        };
        let swept = r.chance(0.35);
        let straight = !swept && r.chance(0.35);
        let depth = r.range(4.0, 17.0);
        let fringe = match (swept, straight) {
            (true, _) if r.chance(0.5) => [depth, depth * 0.15],
            (true, _) => [depth * 0.15, depth],
            (_, true) => [depth, depth],
            _ => [0.0, 0.0],
        };
        let length = match r.below(3) {
            0 => r.range(-14.0, 0.0),
            1 => r.range(0.0, 45.0),
            _ => 200.0,
        };
        Self {
            colour,
            bald: r.chance(0.1),
            line: r.range(-43.0, -29.0),
            recession: if r.chance(0.4) { r.range(0.0, 12.0) } else { 0.0 },
            peak: if r.chance(0.3) { r.range(2.0, 6.0) } else { 0.0 },
            part: r.range(-0.6, 0.6),
            fringe,
            volume: r.range(0.5, 11.0),
            length,
            strands: r.range(0.25, 1.6),
        }
    }
}

impl Beard {
    fn draw(r: &mut Stream) -> Self {
        let density = r.range(0.3, 0.95);
        let edge = r.range(16.0, 30.0);
        match r.below(10) {
            0 => Self { moustache: density, goatee: density, cheeks: density, edge },
            1 => Self { moustache: density, goatee: density, edge, ..Self::default() },
            2 => Self { moustache: density, edge, ..Self::default() },
            3 => Self { goatee: density, edge, ..Self::default() },
            4 => Self { moustache: 0.3, goatee: 0.3, cheeks: 0.3, edge },
            _ => Self::default(),
        }
    }
}

impl Mark {
    fn mole(r: &mut Stream) -> Self {
        Self {
            at: [r.range(-30.0, 30.0), r.range(-28.0, 52.0)],
            radius: r.range(0.8, 1.8),
            darkness: r.range(0.5, 0.9),
        }
    }
}
