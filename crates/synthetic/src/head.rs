//! The head as a solid, its pose, and its alignment to the ArcFace template.
//!
//! The head is a stack of ellipses: at height y its section is centred `depth_centre(y)` in front of the axis,
//! with half width `width(y)` and half depth `depth(y)`. Coordinates are right, down, towards the viewer, with
//! the origin on the axis between the eyes. Projection is orthographic.

use super::{
    canvas::{Frame, Point, mix, sine_cosine, smoothstep},
    identity::Identity,
    scene::Scene,
};

/// Where aligned faces have left eye, right eye, nose tip and the corners of the mouth in a 112x112 picture
/// (insightface `arcface_dst`; Deng et al., "ArcFace", CVPR 2019).
pub(super) const TEMPLATE: [Point; 5] =
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]];

/// The top of the skull.
const TOP: f32 = -62.0;
/// Heights, in view coordinates, that the table of outlines covers, and how finely.
const TABLE_LOW: f32 = -80.0;
const TABLE_STEP: f32 = 0.5;
const TABLE_LEN: usize = 360;

/// One row of the outline as the viewer sees it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Row {
    /// Middle and half width of the head; negative half width where there is no head.
    pub centre: f32,
    pub half: f32,
    /// Distance of the middle of the section to the viewer, and half its depth.
    pub depth_centre: f32,
    pub depth: f32,
    /// Growth of the half width with height.
    pub slope: f32,
}

/// A posed head, aligned to the picture.
#[derive(Debug)]
pub(super) struct Head {
    /// Half widths at the crown, temples, cheekbones, corners of the jaw and chin.
    widths: [f32; 5],
    chin: f32,
    square: f32,
    yaw: (f32, f32),
    pitch: (f32, f32),
    /// View coordinates to template coordinates.
    pub camera: Frame,
    table: Vec<Row>,
    /// Half width of the mouth with this expression.
    pub mouth_half_width: f32,
}

impl Head {
    /// The head of `identity` as `scene` shows it.
    pub fn new(identity: &Identity, scene: &Scene) -> Self {
        let shape = &identity.shape;
        let cheek = shape.cheek;
        let smile = scene.expression.smile;
        let mut head = Self {
            widths: [
                cheek * shape.temple,
                cheek * shape.temple,
                cheek,
                cheek * shape.jaw,
                cheek * shape.jaw * mix(0.62, 0.95, shape.square),
            ],
            chin: shape.chin + 5.0 * scene.expression.open,
            square: shape.square,
            yaw: sine_cosine(scene.yaw),
            pitch: sine_cosine(scene.pitch),
            camera: Frame::at([0.0, 0.0]),
            table: Vec::new(),
            mouth_half_width: identity.mouth.half_width * (1.0 + 0.16 * smile - 0.06 * scene.expression.open),
        };
        head.camera = head.align(identity, scene);
        head.table = head.outline();
        head
    }

    /// Half width, half depth and centre of the section at height `y`.
    fn section(&self, y: f32) -> (f32, f32, f32) {
        let knots = [-45.0, -22.0, 8.0, 36.0, self.chin];
        let k = (1..4).find(|&k| y < knots[k]).unwrap_or(4) - 1;
        let t = smoothstep(knots[k], knots[k + 1], y);
        let plain = mix(self.widths[k], self.widths[k + 1], t);
        let cap = if y < 0.0 {
            let u = y / TOP;
            1.0 - u * u * u * u
        } else {
            let u = y / self.chin;
            let (u2, u4) = (u * u, u * u * u * u);
            1.0 - mix(u2 * u, u4 * u4 * u2, 0.25 + 0.5 * self.square)
        };
        let cap = cap.max(0.0).sqrt();
        let below = smoothstep(10.0, self.chin, y);
        (plain * cap, mix(47.0, 30.0, below) * cap, 15.0 * below)
    }

    /// The point of the face's surface at (x, y), `lift` units in front of it.
    pub fn surface(&self, x: f32, y: f32, lift: f32) -> [f32; 3] {
        let (width, depth, centre) = self.section(y);
        let s = (x / width.max(1.0)).clamp(-0.97, 0.97);
        [x, y, centre + depth * (1.0 - s * s).sqrt() + lift]
    }

    /// View coordinates (right, down) of a point of the head.
    fn view(&self, [x, y, z]: [f32; 3]) -> Point {
        let ((sy, cy), (sp, cp)) = (self.yaw, self.pitch);
        let toward = z * cy - x * sy;
        [x * cy + z * sy, y * cp - toward * sp]
    }

    /// Template coordinates of a point of the head.
    pub fn project(&self, point: [f32; 3]) -> Point {
        let [x, y] = self.view(point);
        self.camera.point(x, y)
    }

    /// The frame tangent to the face at (x, y), foreshortened as the pose has it.
    pub fn frame(&self, x: f32, y: f32) -> Frame {
        let h = 2.0;
        let at = |dx: f32, dy: f32| self.project(self.surface(x + dx, y + dy, 0.0));
        let slope = |a: Point, b: Point| [(b[0] - a[0]) / (2.0 * h), (b[1] - a[1]) / (2.0 * h)];
        Frame { origin: at(0.0, 0.0), u: slope(at(-h, 0.0), at(h, 0.0)), v: slope(at(0.0, -h), at(0.0, h)) }
    }

    /// The frame of the plane that faces where the head faces, through a point of the head.
    pub fn flat_frame(&self, [x, y, z]: [f32; 3]) -> Frame {
        let at = |dx: f32, dy: f32| self.project([x + dx, y + dy, z]);
        let [o, u, v] = [at(0.0, 0.0), at(1.0, 0.0), at(0.0, 1.0)];
        Frame { origin: o, u: [u[0] - o[0], u[1] - o[1]], v: [v[0] - o[0], v[1] - o[1]] }
    }

    /// Height and depth on the head of what the viewer sees at (x, y) of the view, given the outline there.
    pub fn unproject(&self, s: f32, x: f32, y: f32, row: &Row) -> Point {
        let ((sy, cy), (sp, cp)) = (self.yaw, self.pitch);
        let toward = row.depth_centre + row.depth * (1.0 - s * s).max(0.0).sqrt();
        [x * cy - toward * sy, (y + toward * sp) / cp]
    }

    /// The outline at height `y` of the view.
    pub fn row(&self, y: f32) -> Row {
        let t = ((y - TABLE_LOW) * (1.0 / TABLE_STEP)).clamp(0.0, (TABLE_LEN - 2) as f32);
        // Through i32: conversions to usize are slower.
        let k = t as i32;
        let t = t - k as f32;
        let k = k as usize;
        let [a, b] = [&self.table[k], &self.table[k + 1]];
        Row {
            centre: mix(a.centre, b.centre, t),
            half: mix(a.half, b.half, t),
            depth_centre: mix(a.depth_centre, b.depth_centre, t),
            depth: mix(a.depth, b.depth, t),
            slope: mix(a.slope, b.slope, t),
        }
    }

    /// The similarity that brings the five landmarks nearest to the template, and what the detector gets wrong.
    fn align(&self, identity: &Identity, scene: &Scene) -> Frame {
        let (eyes, nose, mouth) = (&identity.eyes, &identity.nose, &identity.mouth);
        let corner = mouth.height - 3.0 * scene.expression.smile + 2.0 * scene.expression.open;
        let points = [
            self.surface(-eyes.spacing, 0.0, 0.0),
            self.surface(eyes.spacing, 0.0, 0.0),
            self.surface(0.0, nose.length, nose.projection),
            self.surface(-self.mouth_half_width, corner, 0.0),
            self.surface(self.mouth_half_width, corner, 0.0),
        ]
        .map(|p| self.view(p));
        let mean = |points: &[Point; 5]| [0, 1].map(|axis| points.iter().map(|p| p[axis]).sum::<f32>() / 5.0);
        let (from, to) = (mean(&points), mean(&TEMPLATE));
        // Least squares over u = (a, b): (x, y) -> (a x - b y, b x + a y), as in Umeyama, PAMI 1991.
        let (mut a, mut b, mut norm) = (0.0, 0.0, 0.0);
        for (p, q) in points.iter().zip(&TEMPLATE) {
            let [x, y] = [p[0] - from[0], p[1] - from[1]];
            let [s, t] = [q[0] - to[0], q[1] - to[1]];
            a += x * s + y * t;
            b += x * t - y * s;
            norm += x * x + y * y;
        }
        let (sine, cosine) = sine_cosine(scene.roll);
        let zoom = 1.0 + scene.zoom;
        let (a, b) = (a / norm * zoom, b / norm * zoom);
        let (a, b) = (a * cosine - b * sine, a * sine + b * cosine);
        let origin = [
            to[0] + scene.shift[0] - a * from[0] + b * from[1],
            to[1] + scene.shift[1] - b * from[0] - a * from[1],
        ];
        Frame { origin, u: [a, b], v: [-b, a] }
    }

    /// The outline of the head by height in view coordinates.
    fn outline(&self) -> Vec<Row> {
        let ((sy, cy), (sp, cp)) = (self.yaw, self.pitch);
        let none = Row { half: -1.0, depth: 1.0, ..Row::default() };
        let mut table = vec![none; TABLE_LEN];
        let steps = 2 * TABLE_LEN;
        let at = |step: usize| {
            let y = mix(TOP, self.chin, step as f32 / steps as f32);
            let (width, depth, centre) = self.section(y);
            let [w2, d2] = [width * width, depth * depth];
            let row = Row {
                centre: centre * sy,
                half: (w2 * cy * cy + d2 * sy * sy).sqrt(),
                depth_centre: centre * cy,
                depth: (w2 * sy * sy + d2 * cy * cy).sqrt().max(1.0),
                slope: 0.0,
            };
            (y * cp - centre * cy * sp, row)
        };
        let (mut above, mut above_row) = at(0);
        for step in 1..=steps {
            let (y, row) = at(step);
            let first = ((above - TABLE_LOW) / TABLE_STEP).ceil().max(0.0) as usize;
            for (k, target) in table.iter_mut().enumerate().skip(first) {
                let here = TABLE_LOW + k as f32 * TABLE_STEP;
                if here > y {
                    break;
                }
                let t = (here - above) / (y - above).max(1e-6);
                *target = Row {
                    centre: mix(above_row.centre, row.centre, t),
                    half: mix(above_row.half, row.half, t),
                    depth_centre: mix(above_row.depth_centre, row.depth_centre, t),
                    depth: mix(above_row.depth, row.depth, t),
                    slope: (row.half - above_row.half) / (y - above).max(1e-6),
                };
            }
            (above, above_row) = (y, row);
        }
        table
    }
}
