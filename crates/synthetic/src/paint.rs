//! Draws a person in a scene: background, head and hair in one pass over the pixels, then each feature of the
//! face on its own patch, then what lies in front of it, then the camera.

use facegrad_pictures::Picture;

use super::{
    canvas::{
        Canvas, Frame, Inverse, Point, Rgb, Texel, cover, dim, ellipse, glow, hash, lay, line_noise, mix,
        mix_rgb, segment, shade, smoothstep, split, tint, value_noise,
    },
    head::{Head, Row},
    identity::Identity,
    scene::{Background, Scene, Texture},
};

/// The picture of `identity` in `scene`, `side` x `side` pixels.
pub(super) fn paint(identity: &Identity, scene: &Scene, side: usize) -> Picture {
    let painter = Painter { identity, scene, head: Head::new(identity, scene) };
    let mut canvas = Canvas::new(side);
    painter.base(&mut canvas);
    painter.skin_details(&mut canvas);
    painter.nose(&mut canvas);
    painter.mouth(&mut canvas);
    for side in [-1.0, 1.0] {
        painter.eye(&mut canvas, side);
        painter.brow(&mut canvas, side);
    }
    painter.occlusion(&mut canvas);
    painter.develop(canvas)
}

struct Painter<'a> {
    identity: &'a Identity,
    scene: &'a Scene,
    head: Head,
}

/// An ear, in the plane of the picture.
struct Ear {
    place: Inverse,
    side: f32,
    radii: Point,
}

impl Painter<'_> {
    /// Background, shoulders, hair behind the head, ears, and the head with hair and beard.
    fn base(&self, canvas: &mut Canvas) {
        let pixel = canvas.pixel();
        let ears = [-1.0, 1.0].map(|side| self.ear(side));
        let view = self.head.camera.inverse();
        let neck = self.head.row(30.0);
        let side = canvas.side;
        for row in 0..side {
            let y = canvas.coordinate(row);
            for column in 0..side {
                let x = canvas.coordinate(column);
                let texel = &mut canvas.texels[row * side + column];
                let [vx, vy] = view.local([x, y]);
                let outline = self.head.row(vy);
                let distance = (vx - outline.centre).abs() - outline.half;
                // The distance along x, shortened where the outline is slanted.
                let slant =
                    if distance.abs() > 12.0 { 1.0 } else { (1.0 + outline.slope * outline.slope).sqrt() };
                let face = cover(distance / slant, pixel);
                if face < 1.0 {
                    background(&self.scene.background, x, y, texel);
                    self.behind(vx, vy, &outline, &neck, pixel, texel);
                    for ear in &ears {
                        self.paint_ear(ear, x, y, pixel, texel);
                    }
                }
                if face > 0.0 {
                    let mut front = [0.0; 4];
                    self.face(vx, vy, &outline, pixel, &mut front);
                    for (behind, front) in texel.iter_mut().zip(front) {
                        *behind = mix(*behind, front, face);
                    }
                }
                if let Some(hat) = &self.scene.occlusion.hat {
                    // The hat stands off the head a little.
                    let wide = cover((vx - outline.centre).abs() - outline.half.max(10.0) - 4.0, pixel);
                    let s = ((vx - outline.centre) / outline.half.max(10.0)).clamp(-1.0, 1.0);
                    let [_, hy] = self.head.unproject(s, vx, vy, &outline);
                    let edge = hat.edge + 3.0 * s * s;
                    let band = cover(edge - hat.band - hy, pixel);
                    let light = 0.55 + 0.5 * self.lambert([s, -0.3, (1.0 - s * s).sqrt()]);
                    let alpha = cover(hy - edge, pixel) * wide;
                    // Its shadow falls on the forehead.
                    shade(texel, 1.0 - 0.5 * (1.0 - smoothstep(0.0, 9.0, hy - edge)) * wide);
                    lay(texel, dim(hat.colour, 1.0 - 0.45 * band), alpha);
                    texel[3] = mix(texel[3], light, alpha);
                }
            }
        }
    }

    /// How brightly the key light falls on a surface with this normal (not of unit length), 0 to 1.
    fn lambert(&self, [x, y, z]: [f32; 3]) -> f32 {
        let [lx, ly, lz] = self.scene.light.towards;
        let wrap = 0.15;
        let cosine = (x * lx + y * ly + z * lz) / (x * x + y * y + z * z).sqrt().max(1e-3);
        ((cosine + wrap) / (1.0 + wrap)).max(0.0)
    }

    /// Neck, clothes and the hair that is seen beside the head.
    fn behind(&self, x: f32, y: f32, outline: &Row, neck: &Row, pixel: f32, texel: &mut Texel) {
        let identity = self.identity;
        let dx = x - neck.centre * 0.5;
        let chin = identity.shape.chin;
        let throat = cover(dx.abs() - 0.66 * neck.half, pixel) * smoothstep(20.0, 21.0, y);
        if throat > 0.0 {
            lay(texel, identity.skin.colour, throat);
            texel[3] = mix(texel[3], 0.3 + 0.25 * self.lambert([dx / neck.half, 0.5, 0.8]), throat);
        }
        let clothes = cover(chin + 6.0 - 0.22 * dx.abs() - y, pixel);
        if clothes > 0.0 {
            lay(texel, self.scene.background.clothes, clothes);
            texel[3] = mix(texel[3], 0.8, clothes);
        }
        let hair = &identity.hair;
        let volume = if hair.bald { 0.5 } else { hair.volume * self.scene.grooming.volume };
        let outline = if y < 0.0 { self.head.row(y * (1.0 - volume / 70.0)) } else { *outline };
        let wave = 2.5 * (line_noise(y * hair.strands * 0.3, identity.texture ^ 3) - 0.5);
        // Below the jaw, hair hangs straight down.
        let half = outline.half.max(if y > 0.0 { 0.86 * identity.shape.cheek } else { 0.0 });
        let distance = (x - outline.centre).abs() - half - volume - wave * volume.min(4.0) * 0.3;
        let coverage = cover(distance, pixel) * cover(y - hair.length, 2.0 + pixel);
        if coverage > 0.0 {
            let s = ((x - outline.centre) / (half + volume)).clamp(-1.0, 1.0);
            self.paint_hair(s * 40.0, y, [s, -0.3, (1.0 - s * s).sqrt()], 0.75, coverage, texel);
        }
    }

    /// Lays hair over the texel; (x, y) is where on the head it grows.
    fn paint_hair(&self, x: f32, y: f32, normal: [f32; 3], dull: f32, coverage: f32, texel: &mut Texel) {
        let hair = &self.identity.hair;
        let strand = value_noise(x * hair.strands, y * hair.strands * 0.12, self.identity.texture);
        let light = self.lambert(normal) * dull;
        lay(texel, dim(hair.colour, 0.55 + 0.9 * strand), coverage);
        texel[3] = mix(texel[3], light * (0.7 + 0.6 * strand), coverage);
    }

    fn ear(&self, side: f32) -> Ear {
        let ears = &self.identity.ears;
        let frame = self.head.flat_frame([
            side * (self.identity.shape.cheek - 1.5 + ears.stand_off),
            ears.height,
            -4.0,
        ]);
        // Seen from its own side, an ear is wider.
        let yaw = self.scene.yaw * side;
        let width = (0.42 - 0.35 * yaw).clamp(0.15, 0.62) * ears.half_height;
        let across = Frame { u: [self.head.camera.u[0] * side, self.head.camera.u[1] * side], ..frame };
        Ear { place: across.inverse(), side, radii: [width, ears.half_height] }
    }

    fn paint_ear(&self, ear: &Ear, x: f32, y: f32, pixel: f32, texel: &mut Texel) {
        let [u, v] = ear.place.local([x, y]);
        if u.abs() > ear.radii[0] * 1.5 || v.abs() > ear.radii[1] * 1.1 {
            return;
        }
        // Narrower towards the lobe.
        let u = u * (1.0 + 0.25 * v / ear.radii[1]);
        let distance = ellipse(u, v, ear.radii);
        let coverage = cover(distance, pixel);
        if coverage == 0.0 {
            return;
        }
        // Long hair hides the ears.
        let hidden = smoothstep(2.0, 14.0, self.identity.hair.length) * 0.85;
        let coverage = coverage * (1.0 - hidden);
        let inner = glow(u, v, [ear.radii[0] * 0.75, ear.radii[1] * 0.7]);
        lay(texel, tint_of(self.identity.skin.colour, [1.02, 0.85, 0.82]), coverage);
        texel[3] = mix(texel[3], self.lambert([0.55 * ear.side, -0.1, 0.7]) * (1.0 - 0.55 * inner), coverage);
    }

    /// Skin, beard and the hair that grows over the front of the head.
    fn face(&self, x: f32, y: f32, outline: &Row, pixel: f32, texel: &mut Texel) {
        let identity = self.identity;
        let (shape, hair) = (&identity.shape, &identity.hair);
        let s = ((x - outline.centre) / outline.half.max(1.0)).clamp(-1.0, 1.0);
        let forward = (1.0 - s * s).sqrt();
        let ratio = outline.half / outline.depth;
        let normal = [s, -outline.slope.clamp(-2.5, 2.5), forward * ratio + 0.05];
        let [hx, hy] = self.head.unproject(s, x, y, outline);
        let blush = identity.skin.blush * (glow(hx.abs() - 22.0, hy - 20.0, [15.0, 13.0]));
        let skin = identity.skin.colour;
        *texel = [
            skin[0] * (1.0 + 0.10 * blush),
            skin[1] * (1.0 - 0.22 * blush),
            skin[2] * (1.0 - 0.20 * blush),
            self.lambert(normal),
        ];
        if let Some(([nx, ny], offset, softness, darkness)) = self.scene.light.shadow {
            let depth = hx * nx + (hy - 15.0) * ny - offset;
            shade(texel, 1.0 - darkness * smoothstep(-softness, softness, depth));
        }
        // Hollow cheeks below the cheekbones, hollow temples, the cleft and lines on the forehead.
        shade(
            texel,
            1.0 - 0.34
                * shape.cheekbone
                * glow(hx.abs() - 27.0, hy - 30.0 + 0.5 * (hx.abs() - 27.0), [11.0, 9.0]),
        );
        if shape.cleft > 0.0 {
            shade(texel, 1.0 - 0.4 * shape.cleft * glow(hx, hy - self.identity.shape.chin + 7.0, [1.6, 5.0]));
        }
        if shape.wrinkles > 0.0 && hy < -13.0 {
            let raised = 0.6 + 0.4 * self.scene.expression.brows;
            let phase = (hy + 0.004 * hx * hx) * (1.0 / 5.5);
            let line = 1.0 - (split(phase).1 * 2.0 - 1.0).abs();
            let edge = 1.0 - smoothstep(14.0, 26.0, hx.abs());
            shade(texel, 1.0 - 0.22 * shape.wrinkles * raised * edge * smoothstep(0.6, 1.0, line));
        }
        self.paint_beard(hx, hy, normal, texel);
        let t = hx / (shape.cheek * shape.temple);
        let edge = self.hairline(t);
        if hy > edge + 5.0 {
            return;
        }
        let ragged = 2.4 * (line_noise(hx * hair.strands * 1.3, identity.texture ^ 2) - 0.5);
        let coverage = cover(hy - edge - ragged, 1.2 + pixel);
        if coverage > 0.0 {
            let up = [s, -0.4 - 0.5 * outline.slope.clamp(-2.5, 2.5), forward * ratio + 0.2];
            self.paint_hair(hx, hy, up, 1.0, coverage, texel);
        } else if !hair.bald {
            // Hair throws a soft shadow on the skin just below it.
            shade(texel, 1.0 - 0.25 * (1.0 - smoothstep(0.0, 5.0, hy - edge)));
        }
    }

    /// Height at which the hair ends, `t` across the front of the head (-1 to 1 from temple to temple).
    fn hairline(&self, t: f32) -> f32 {
        let hair = &self.identity.hair;
        let across = t.abs();
        // The temples: down to the sideburns, in front of the ears.
        let sides = smoothstep(0.74, 1.02, across);
        let sideburn = hair.length.clamp(-4.0, 12.0);
        if hair.bald {
            let fringe = smoothstep(0.94, 1.05, across);
            return mix(-90.0, sideburn, fringe * smoothstep(-8.0, 0.0, hair.length));
        }
        let recession = hair.recession * (1.0 - ((across - 0.55) / 0.35).abs()).max(0.0);
        let peak = hair.peak * (1.0 - across / 0.25).max(0.0);
        let side = smoothstep(-0.12, 0.12, t - hair.part);
        let hanging = mix(hair.fringe[0], hair.fringe[1], side) * self.scene.grooming.fringe;
        // Swept hair hangs lower the further it is from the parting.
        let away =
            if hair.fringe[0] == hair.fringe[1] { 1.0 } else { ((t - hair.part).abs() * 1.3).min(1.2) };
        let rounded = 3.0 * across * across;
        mix(hair.line + rounded - recession + peak + hanging * away, sideburn, sides)
    }

    fn paint_beard(&self, x: f32, y: f32, normal: [f32; 3], texel: &mut Texel) {
        let (beard, mouth) = (&self.identity.beard, &self.identity.mouth);
        if y < 5.0 || beard.moustache + beard.goatee == 0.0 {
            return;
        }
        let across = x.abs();
        let lip = mouth.height - mouth.upper;
        let reach = ((lip - self.identity.nose.length) * 0.6).clamp(2.0, 6.0);
        let middle = (lip - 0.7 * reach).max((self.identity.nose.length + lip) * 0.5);
        let width = mouth.half_width * 1.15;
        let moustache =
            cover(ellipse(x, y - middle - across * across * 0.010, [width, reach]), 1.8) * beard.moustache;
        let goatee =
            cover(ellipse(x, y - mouth.height - 13.0, [mouth.half_width * 0.9, 10.5]), 2.5) * beard.goatee;
        let t = across / self.identity.shape.cheek;
        let edge = mix(mouth.height + 6.0, beard.edge - 8.0, smoothstep(0.25, 0.95, t));
        let cheeks = cover(edge - y, 5.0) * beard.cheeks;
        let alpha = moustache.max(goatee).max(cheeks) * self.scene.grooming.beard;
        if alpha > 0.0 {
            let strand = value_noise(x * 1.1, y * 0.5, self.identity.texture ^ 5);
            lay(
                texel,
                dim(self.identity.hair.colour, 0.6 + 0.7 * strand),
                (alpha * (0.6 + 0.7 * strand)).min(0.97),
            );
            texel[3] *= mix(1.0, 0.75 + 0.2 * self.lambert(normal), alpha.min(1.0));
        }
    }

    /// Marks, folds and the scar.
    fn skin_details(&self, canvas: &mut Canvas) {
        let identity = self.identity;
        for mark in &identity.marks {
            let frame = self.head.frame(mark.at[0], mark.at[1]);
            let r = mark.radius + 1.0;
            canvas.stamp(&frame, [-r, -r], [r, r], |u, v, pixel, texel| {
                let alpha = cover((u * u + v * v).sqrt() - mark.radius, pixel) * mark.darkness;
                tint(texel, [0.32, 0.22, 0.18], alpha);
            });
        }
        if let Some([from, to]) = identity.scar {
            let at = |p: Point| self.head.project(self.head.surface(p[0], p[1], 0.0));
            self.stroke(canvas, at(from), at(to), 0.7, |texel, alpha| tint(texel, [1.25, 0.9, 0.9], alpha));
        }
        let folded = identity.shape.fold * (0.25 + 0.75 * self.scene.expression.smile.max(0.0));
        for side in [-1.0, 1.0] {
            let nose = self.head.surface(side * (identity.nose.width + 2.0), identity.nose.length - 1.0, 2.0);
            let corner = side * (self.head.mouth_half_width + 3.5);
            let cheek = self.head.surface(corner, identity.mouth.height - 3.0, 0.0);
            let (from, to) = (self.head.project(nose), self.head.project(cheek));
            self.stroke(canvas, from, to, 1.1, |texel, alpha| shade(texel, 1.0 - 0.55 * folded * alpha));
        }
    }

    /// A line between two points of the template.
    fn stroke(
        &self,
        canvas: &mut Canvas,
        a: Point,
        b: Point,
        radius: f32,
        mut ink: impl FnMut(&mut Texel, f32),
    ) {
        let reach = radius + 1.5;
        let low = [a[0].min(b[0]) - reach, a[1].min(b[1]) - reach];
        let high = [a[0].max(b[0]) + reach, a[1].max(b[1]) + reach];
        canvas.stamp(&Frame::at([0.0, 0.0]), low, high, |x, y, pixel, texel| {
            let alpha = cover(segment([x, y], a, b) - radius, pixel.max(1.0));
            if alpha > 0.0 {
                ink(texel, alpha);
            }
        });
    }

    fn nose(&self, canvas: &mut Canvas) {
        let nose = &self.identity.nose;
        let [lx, ly, _] = self.scene.light.towards;
        let root = self.head.project(self.head.surface(nose.bend, -5.0, 1.0));
        let tip = self.head.project(self.head.surface(0.0, nose.length, nose.projection));
        // The ridge: v from root to tip, u across, both in template units.
        let ridge = Frame::along(root, tip);
        let [_, length] = ridge.local(tip);
        let scale = (self.head.camera.u[0] * self.head.camera.u[0]
            + self.head.camera.u[1] * self.head.camera.u[1])
            .sqrt();
        let relief = 0.55 + 0.03 * nose.projection;
        let reach = nose.width * 2.0 * scale;
        canvas.stamp(&ridge, [-reach, -2.0], [reach, length + 3.0], |u, v, _, texel| {
            let t = (v / length).clamp(0.0, 1.0);
            let half = mix(nose.bridge, nose.width * 0.8, t * t) * scale;
            let q = (u - nose.bend * scale * 4.0 * t * (1.0 - t)) / (half * 1.7);
            let fade = smoothstep(-2.0, 7.0, v) * (1.0 - smoothstep(length - 1.0, length + 3.0, v));
            if q.abs() < 1.0 {
                let bump = 1.0 - q * q;
                let slope = q * bump * bump * 3.5;
                let crest = bump * bump * bump;
                shade(texel, 1.0 + fade * relief * (slope * lx * 0.9 - 0.16 * slope.abs() + 0.16 * crest));
            }
        });
        // The shadow below the tip, where the light comes from above.
        let under = self.head.flat_frame(self.head.surface(0.0, nose.length + 4.5, nose.projection * 0.25));
        let depth = (0.18 - 0.5 * ly).clamp(0.1, 0.6);
        let span = nose.width + 3.0;
        canvas.stamp(&under, [-span - 4.0, -6.0], [span + 4.0, 7.0], |u, v, _, texel| {
            shade(texel, 1.0 - depth * glow(u + 3.0 * lx, v, [span, 6.0]));
        });
        for side in [-1.0, 1.0] {
            let wing_at =
                self.head.surface(side * (nose.width - 2.2), nose.length - 0.5, nose.projection * 0.35);
            let wing = self.head.flat_frame(wing_at).mirrored(side);
            let radii = [3.2, 3.4 + 0.12 * nose.length];
            canvas.stamp(&wing, [-5.0, -7.5], [6.0, 7.5], |u, v, pixel, texel| {
                let distance = ellipse(u, v, [radii[0], radii[1] * 0.75]);
                let rim = cover(distance.abs() - 0.55, pixel.max(1.2))
                    * smoothstep(-1.0, 2.0, u)
                    * smoothstep(-5.0, 1.0, v);
                let body = cover(distance, 2.5);
                shade(texel, 1.0 + body * (0.22 * lx * side * (u / 3.2) - 0.04));
                tint(texel, [0.55, 0.42, 0.4], 0.75 * rim);
            });
            let nostril_at =
                self.head.surface(side * nose.width * 0.46, nose.length + 2.2, nose.projection * 0.55);
            let nostril = self.head.flat_frame(nostril_at).mirrored(side);
            // The nostrils show more when the head is tilted back.
            let open = nose.nostrils * (1.0 + 1.8 * self.scene.pitch).clamp(0.35, 1.8);
            let radii = [nose.width * 0.27, open];
            canvas.stamp(&nostril, [-5.0, -4.0], [5.0, 4.0], |u, v, pixel, texel| {
                tint(
                    texel,
                    [0.22, 0.13, 0.11],
                    0.85 * cover(ellipse(u, v + 0.25 * u, radii), pixel.max(0.8)),
                );
            });
        }
        let ball = self.head.flat_frame(self.head.surface(0.0, nose.length - 0.5, nose.projection));
        let radius = nose.tip;
        let gloss = 0.12 + 0.5 * self.scene.grooming.gloss * self.scene.grooming.gloss;
        canvas.stamp(&ball, [-8.0, -8.0], [8.0, 8.0], |u, v, pixel, texel| {
            let inside = cover((u * u + v * v).sqrt() - radius, pixel.max(2.0));
            shade(texel, 1.0 + inside * (0.3 * (u * lx + v * ly) / radius + 0.06));
            shade(texel, 1.0 + gloss * glow(u - 1.5 * lx, v - 1.5 * ly + 0.8, [radius * 0.6, radius * 0.6]));
        });
    }

    fn mouth(&self, canvas: &mut Canvas) {
        let (mouth, expression) = (&self.identity.mouth, &self.scene.expression);
        let frame = self.head.frame(0.0, mouth.height);
        let half = self.head.mouth_half_width;
        let smile = expression.smile;
        let thin = 1.0 - 0.22 * smile;
        let colour = match self.scene.grooming.lipstick {
            Some((lipstick, alpha)) => mix_rgb(mouth.colour, lipstick, alpha),
            None => mouth.colour,
        };
        let [_, ly, _] = self.scene.light.towards;
        canvas.stamp(&frame, [-half * 1.25, -12.0], [half * 1.25, 20.0], |u, v, pixel, texel| {
            let n = u / half;
            let arc = (1.0 - n * n).max(0.0);
            let within = cover((n.abs() - 1.0) * half, pixel);
            let middle = (1.5 - 4.5 * n * n) * smile * 0.9 - mouth.corners * n * n;
            let gap = (7.5 * expression.open + 2.2 * smile.max(0.0) * f32::from(expression.teeth)) * arc;
            let dip = (1.0 - n.abs() / 0.3).max(0.0);
            let upper_lip = mouth.upper * thin * (arc * (1.15 - 0.55 * mouth.bow * dip) + 0.1);
            let lower_lip = mouth.lower * thin * arc * (1.5 - 0.5 * arc);
            let [upper, lower] = [middle - 0.2 * gap, middle + 0.8 * gap];
            // The shadow below the lower lip.
            let below = v - lower - lower_lip;
            shade(texel, 1.0 - 0.3 * glow(u, below - 2.5, [half * 0.6, 3.5]));
            let lips = cover((upper - upper_lip - v).max(v - lower - lower_lip), pixel) * within;
            if lips > 0.0 {
                let is_upper = cover(v - (upper + lower) * 0.5, pixel.max(1.0));
                lay(texel, dim(colour, mix(1.05, 0.8, is_upper)), lips);
                let round = glow(u, v - lower - lower_lip * 0.45, [half * 0.45, lower_lip * 0.6 + 0.3]);
                shade(texel, 1.0 + lips * (0.3 * round - 0.2 * ly * (1.0 - 2.0 * is_upper) * 0.5));
            }
            let inside = cover((upper - v).max(v - lower), pixel) * within;
            if inside > 0.0 {
                lay(texel, [0.05, 0.015, 0.015], inside);
                if expression.teeth {
                    let teeth =
                        cover((v - upper) - gap.min(4.2), pixel) * cover((n.abs() - 0.85) * half, 1.5);
                    lay(texel, [0.68, 0.64, 0.56], inside * teeth);
                }
            }
            let line = cover((v - (upper + lower) * 0.5).abs() - 0.45, pixel.max(0.9)) * within;
            if gap < 1.2 {
                tint(texel, [0.35, 0.22, 0.22], 0.8 * line * (1.0 - gap / 1.2));
            }
            let corner = glow(u.abs() - half, v - middle, [2.2, 1.8]);
            tint(texel, [0.5, 0.38, 0.36], 0.6 * corner);
        });
    }

    fn eye(&self, canvas: &mut Canvas, side: f32) {
        let (eyes, expression) = (&self.identity.eyes, &self.scene.expression);
        let frame = self.head.frame(side * eyes.spacing, 0.0).mirrored(side);
        let half = eyes.half_width;
        let [up, down] =
            [eyes.opening * 0.6 * expression.lids, eyes.opening * 0.4 * (0.65 + 0.35 * expression.lids)];
        let skin = self.identity.skin.colour;
        // The gaze turns both eyes to the same side, and the left eye's u axis points to the left.
        let gaze = [expression.gaze[0] * side * half * 0.34, expression.gaze[1] * 1.6 - 0.3];
        let [lx, ly, _] = self.scene.light.towards;
        canvas.stamp(&frame, [-half * 1.8, -12.5], [half * 1.8, 12.5], |u, v, pixel, texel| {
            let n = u / half;
            let arc = (1.0 - n * n).max(0.0);
            let slope = -eyes.slope * u;
            let top = slope - up * arc * (1.0 + eyes.skew * n);
            let bottom = slope + down * arc * (1.0 - 0.6 * eyes.skew * n);
            let within = cover((n.abs() - 1.0) * half, pixel);
            let hollow = glow(u + 2.0, v + 3.5, [half * 1.75, 10.0]);
            shade(texel, 1.0 - (0.12 + 0.38 * eyes.socket) * hollow);
            if let Some((colour, alpha)) = self.scene.grooming.eye_shadow {
                lay(texel, colour, alpha * glow(u, v - slope + up + 2.0, [half * 1.2, 5.5]));
            }
            let bag = glow(u, v - bottom - 3.2, [half * 0.95, 2.6]);
            shade(texel, 1.0 - (0.08 + 0.4 * eyes.bags) * bag);
            let ball = cover((top - v).max(v - bottom), pixel) * within;
            if ball > 0.0 {
                let [dx, dy] = [u - gaze[0], v - gaze[1] - slope * 0.5];
                let radius = (dx * dx + dy * dy).sqrt();
                let mut inner = [0.66, 0.62, 0.58, texel[3].max(0.25)];
                tint(&mut inner, [1.0, 0.72, 0.68], 0.35 * smoothstep(0.6, 1.0, n.abs()));
                let ring = smoothstep(eyes.iris * 0.55, eyes.iris, radius);
                lay(&mut inner, dim(eyes.iris_colour, 1.25 - 0.8 * ring), cover(radius - eyes.iris, pixel));
                lay(&mut inner, [0.008; 3], cover(radius - eyes.iris * 0.42, pixel));
                // The lid's shadow, then the reflection of the light.
                inner[3] *= 1.0 - 0.5 * (1.0 - smoothstep(0.0, 2.4, v - top));
                let spark = [dx - lx * side * eyes.iris * 0.45, dy - ly * eyes.iris * 0.45];
                let spark = cover((spark[0] * spark[0] + spark[1] * spark[1]).sqrt() - 0.75, pixel);
                lay(&mut inner, [1.6; 3], spark);
                for (outer, inner) in texel.iter_mut().zip(inner) {
                    *outer = mix(*outer, inner, ball);
                }
            }
            if eyes.crease > 0.0 {
                let crease = v - top + eyes.crease * (0.55 + 0.45 * arc);
                let alpha = cover(crease.abs() - 0.35, pixel.max(0.9)) * cover((n.abs() - 1.08) * half, 2.0);
                tint(texel, [0.5, 0.4, 0.36], 0.75 * alpha);
            }
            let ends = cover((n.abs() - 1.06) * half, pixel.max(1.0));
            let thickness = eyes.lashes * (0.55 + 0.35 * n.clamp(-1.0, 1.0));
            lay(texel, [0.015, 0.01, 0.008], 0.9 * ends * cover((v - top).abs() - thickness, pixel.max(0.8)));
            let lower = cover((v - bottom).abs() - 0.3, pixel.max(0.9)) * ends;
            lay(texel, dim(skin, 0.3), 0.6 * lower);
        });
    }

    fn brow(&self, canvas: &mut Canvas, side: f32) {
        let (brows, expression) = (&self.identity.brows, &self.scene.expression);
        let height = brows.height + 2.6 * expression.brows;
        let centre = self.identity.eyes.spacing + brows.offset;
        let frame = self.head.frame(side * centre, -height).mirrored(side);
        let half = brows.half_length;
        let slope = brows.slope + expression.worry;
        let seed = self.identity.texture ^ 7;
        canvas.stamp(&frame, [-half - 2.0, -9.0], [half + 2.0, 9.0], |u, v, pixel, texel| {
            let n = u / half;
            let middle = -slope * u - brows.arch * (1.0 - (n - 0.25) * (n - 0.25));
            let outer = ((n + 1.0) * 0.5).clamp(0.0, 1.0);
            let thickness = brows.thickness * 0.5 * (1.1 - 0.8 * outer * outer);
            let ends = smoothstep(-1.08, -0.7, n) * (1.0 - smoothstep(0.85, 1.05, n));
            let strand = value_noise(u * 1.4 + v * 0.6, v * 0.9, seed);
            let alpha = cover((v - middle).abs() - thickness, pixel.max(1.0)) * ends;
            lay(texel, brows.colour, (alpha * brows.density * (0.7 + 0.6 * strand)).min(0.98));
        });
    }

    /// What hides parts of the face.
    fn occlusion(&self, canvas: &mut Canvas) {
        let occlusion = &self.scene.occlusion;
        if let Some((colour, edge)) = occlusion.mask {
            let seed = self.scene.background.seed;
            let frame = self.head.flat_frame(self.head.surface(0.0, edge, 6.0));
            canvas.stamp(&frame, [-60.0, -12.0], [60.0, 70.0], |u, v, pixel, texel| {
                let alpha = cover(0.006 * u * u - 2.0 - v, pixel);
                lay(texel, dim(colour, 0.8 + 0.4 * value_noise(u * 0.1, v * 0.3, seed)), alpha);
                texel[3] = mix(texel[3], 0.3 + 0.6 * self.lambert([u / 40.0, 0.2, 0.8]), alpha);
            });
        }
        if let Some(glasses) = &occlusion.glasses {
            let [a, b] = glasses.radii;
            for side in [-1.0, 1.0] {
                let lens = self.head.flat_frame(self.head.surface(side * 18.0, 1.0, 5.0)).mirrored(side);
                canvas.stamp(&lens, [-20.0, -15.0], [30.0, 15.0], |u, v, pixel, texel| {
                    // A rounded box between an ellipse and a rectangle.
                    let distance = mix(ellipse(u, v, [a, b]), (u.abs() - a).max(v.abs() - b), 0.45);
                    let inside = cover(distance, pixel);
                    lay(texel, [0.012; 3], glasses.dark * inside);
                    texel[3] = mix(texel[3], 0.5, glasses.dark * inside);
                    let streak = smoothstep(-3.0, 0.0, u - v) * (1.0 - smoothstep(3.0, 6.0, u - v));
                    lay(texel, [0.9, 0.95, 1.0], glasses.reflection * inside * streak);
                    let rim = cover(distance.abs() - glasses.thickness * 0.5, pixel);
                    let arm =
                        cover((v + b * 0.4).abs() - glasses.thickness * 0.5, pixel) * cover(a - u, pixel);
                    let bridge = cover((v + b * 0.3).abs() - glasses.thickness * 0.5, pixel)
                        * cover(u + a, pixel)
                        * cover(-18.0 - u, pixel);
                    lay(texel, glasses.frame, rim.max(arm).max(bridge));
                });
            }
        }
        for [a, b, c] in &occlusion.strands {
            let colour = self.identity.hair.colour;
            self.stroke(canvas, *a, *b, 0.7, |texel, alpha| lay(texel, colour, 0.9 * alpha));
            self.stroke(canvas, *b, *c, 0.55, |texel, alpha| lay(texel, colour, 0.8 * alpha));
        }
        if let Some(patch) = &occlusion.patch {
            let [x, y] = patch.axis;
            let frame = Frame { origin: patch.centre, u: [x, y], v: [-y, x] };
            let [a, b] = patch.half;
            canvas.stamp(&frame, [-a - 1.0, -b - 1.0], [a + 1.0, b + 1.0], |u, v, pixel, texel| {
                let distance =
                    if patch.round { ellipse(u, v, [a, b]) } else { (u.abs() - a).max(v.abs() - b) };
                let alpha = cover(distance, pixel);
                lay(texel, mix_rgb(patch.colours[0], patch.colours[1], 0.5 + 0.5 * v / b), alpha);
                texel[3] = mix(texel[3], 0.8, alpha);
            });
        }
        if let Some(bar) = &occlusion.bar {
            let colour = bar.colour.unwrap_or(self.identity.skin.colour);
            let [from, to] = bar.ends;
            let frame = Frame::along(from, to);
            let [_, length] = frame.local(to);
            let r = bar.radius;
            canvas.stamp(&frame, [-r - 2.0, -r - 2.0], [r + 2.0, length], |u, v, pixel, texel| {
                let distance = segment([u, v], [0.0, 0.0], [0.0, length]) - r;
                shade(texel, 1.0 - 0.4 * cover(distance - 1.0, 2.5));
                let q = (u / r).clamp(-1.0, 1.0);
                let alpha = cover(distance, pixel);
                lay(texel, colour, alpha);
                let [nx, ny] = [frame.u[0] * q, frame.u[1] * q];
                texel[3] = mix(texel[3], self.lambert([nx, ny, (1.0 - q * q).sqrt()]), alpha);
            });
        }
    }

    /// Light, lens and sensor.
    fn develop(&self, mut canvas: Canvas) -> Picture {
        let (light, camera) = (&self.scene.light, &self.scene.camera);
        canvas.blur(camera.blur);
        let luminance = |[r, g, b]: Rgb| 0.3 * r + 0.59 * g + 0.11 * b;
        // Automatic exposure brings the skin, lit as the cheeks are, towards the same grey.
        let lit: Rgb = std::array::from_fn(|c| {
            self.identity.skin.colour[c] * (light.ambient[c] + light.key[c] * self.lambert([0.0, -0.1, 1.0]))
        });
        let target = 0.32;
        let measured = (target / luminance(lit).max(0.005)).min(12.0);
        let fixed = 1.3;
        let gain = camera.exposure * mix(fixed, measured, camera.automatic);
        let [key, ambient] = [light.key, light.ambient]
            .map(|colour| -> Rgb { std::array::from_fn(|c| colour[c] * camera.white_balance[c] * gain) });
        // Averaging pixels averages their noise, so smaller pictures have less of it.
        let noise = camera.noise * (canvas.side as f32 / 112.0).min(1.0);
        let middle = canvas.side as f32 * 0.5;
        canvas.develop(|x, y, texel| {
            let [dx, dy] = [(x as f32 - middle) / middle, (y as f32 - middle) / middle];
            let dark = 1.0 - camera.vignette * 0.5 * (dx * dx + dy * dy);
            let colour: Rgb = std::array::from_fn(|c| {
                texel[c] * (ambient[c] + key[c] * texel[3]) * dark + camera.haze * 0.3
            });
            // A display's tone curve is about a square root; highlights are compressed rather than cut.
            let colour = colour.map(|c| {
                let c = c.max(0.0).sqrt();
                let c = if c > 0.75 { 1.0 - 0.0625 / (c - 0.5).max(0.25) } else { c };
                (c - 0.5) * camera.contrast + 0.5
            });
            let grey = luminance(colour);
            let bits = hash(x as i32, y as i32, camera.seed);
            // Uniform noise of unit variance, from a byte each.
            let grain = |byte: u32| ((bits >> (8 * byte) & 0xff) as i32 as f32 - 127.5) * (1.0 / 73.9);
            let shared = grey + grain(0) * noise;
            std::array::from_fn(|c| {
                shared + (colour[c] - grey) * camera.saturation + 0.5 * noise * grain(c as u32 + 1)
            })
        })
    }
}

fn tint_of(colour: Rgb, factor: Rgb) -> Rgb {
    std::array::from_fn(|c| colour[c] * factor[c])
}

fn background(background: &Background, x: f32, y: f32, texel: &mut Texel) {
    let [nx, ny] = background.direction;
    let t = (0.5 + ((x - 56.0) * nx + (y - 56.0) * ny) / 112.0).clamp(0.0, 1.0);
    let t = match background.texture {
        Texture::Plain => t,
        Texture::Stripes([sx, sy], period) => {
            let phase = (x * sx + y * sy) / period;
            let wave = (split(phase).1 * 2.0 - 1.0).abs();
            0.6 * smoothstep(0.3, 0.7, wave) + 0.4 * t
        }
        Texture::Clouds(size) => 0.75 * value_noise(x / size, y / size, background.seed) + 0.25 * t,
    };
    let mut colour = mix_rgb(background.colours[0], background.colours[1], t);
    for ([bx, by], radius, blob) in &background.blobs {
        colour = mix_rgb(colour, *blob, glow(x - bx, y - by, [*radius, *radius]));
    }
    *texel = [colour[0], colour[1], colour[2], 0.8];
}
