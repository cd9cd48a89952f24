//! What stands before the pixels of a JPEG (ITU-T T.81, annex B).

/// A component: Y, Cb or Cr.
#[derive(Debug, Clone, Copy, Default)]
pub struct Component {
    id: u8,
    /// Samples across and down in a minimum coded unit, in blocks.
    pub across: usize,
    pub down: usize,
    /// Which tables it is coded with.
    pub quantization: usize,
    pub dc: usize,
    pub ac: usize,
}

/// The header of a JPEG that [`super::decode`] can read.
pub struct JpegHeader<'a> {
    pub width: usize,
    pub height: usize,
    /// One for grey, three for YCbCr.
    pub components: Vec<Component>,
    /// Quantization tables, in zigzag order.
    pub quantization: [Option<[i32; 64]>; 4],
    /// Huffman tables as they are stored: sixteen counts, then the symbols.
    pub dc: [Option<&'a [u8]>; 4],
    pub ac: [Option<&'a [u8]>; 4],
    /// Minimum coded units between restart markers; 0 if there are none.
    pub restart: usize,
    /// The EXIF block, without its name.
    pub exif: Option<&'a [u8]>,
    /// The entropy-coded data and what follows.
    pub scan: &'a [u8],
}

impl<'a> JpegHeader<'a> {
    /// Reads the header of a baseline JPEG, grey or YCbCr with the usual samplings, in one scan; nothing for any
    /// other, and for one that is damaged.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut header = Self {
            width: 0,
            height: 0,
            components: Vec::new(),
            quantization: [None; 4],
            dc: [None; 4],
            ac: [None; 4],
            restart: 0,
            exif: None,
            scan: &[],
        };
        let (mut is_jfif, mut adobe) = (false, None);
        let mut rest = bytes.strip_prefix(&[0xFF, 0xD8])?;
        loop {
            let (&[0xFF, marker, high, low], after) = rest.split_first_chunk()? else { return None };
            let length = usize::from(u16::from_be_bytes([high, low])).checked_sub(2)?;
            let (segment, after) = after.split_at_checked(length)?;
            rest = after;
            match marker {
                0xC0 | 0xC1 if header.components.is_empty() => header.frame(segment)?,
                0xC4 => header.huffman(segment)?,
                0xDB => header.quantization(segment)?,
                0xDD => header.restart = usize::from(u16::from_be_bytes(segment.try_into().ok()?)),
                0xDA => {
                    header.scan_header(segment)?;
                    break;
                }
                0xE0 => is_jfif |= segment.starts_with(b"JFIF\0"),
                0xE1 => {
                    if let Some(exif) = segment.strip_prefix(b"Exif\0\0")
                        && header.exif.replace(exif).is_some()
                    {
                        return None;
                    }
                }
                0xEE if segment.starts_with(b"Adobe") => adobe = Some(*segment.get(11)?),
                0xE2..=0xEF | 0xFE => {}
                _ => return None,
            }
        }
        header.scan = rest;
        if header.components.len() == 3 {
            let is_named_rgb = header.components.iter().map(|c| c.id).eq(*b"RGB");
            if adobe.is_some_and(|transform| transform != 1) || (adobe.is_none() && !is_jfif && is_named_rgb)
            {
                return None;
            }
        }
        Some(header)
    }

    fn frame(&mut self, segment: &[u8]) -> Option<()> {
        let (&[precision, h1, h2, w1, w2, count], components) = segment.split_first_chunk()?;
        (self.height, self.width) =
            (usize::from(u16::from_be_bytes([h1, h2])), usize::from(u16::from_be_bytes([w1, w2])));
        if precision != 8 || ![1, 3].contains(&count) || components.len() != usize::from(count) * 3 {
            return None;
        }
        for component in components.chunks_exact(3) {
            let (across, down) = (usize::from(component[1] >> 4), usize::from(component[1] & 15));
            let quantization = usize::from(component[2]);
            if across == 0 || down == 0 || quantization > 3 {
                return None;
            }
            self.components.push(Component {
                id: component[0],
                across,
                down,
                quantization,
                ..Component::default()
            });
        }
        match &mut self.components[..] {
            // One component is not interleaved, whatever its sampling.
            [grey] => (grey.across, grey.down) = (1, 1),
            [luma, chroma @ ..] => {
                let is_usual = [(1, 1), (2, 1), (2, 2)].contains(&(luma.across, luma.down));
                if !is_usual || chroma.iter().any(|c| (c.across, c.down) != (1, 1)) {
                    return None;
                }
            }
            [] => return None,
        }
        Some(())
    }

    fn quantization(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&kind, values)) = segment.split_first() {
            let (values, after) = values.split_at_checked(64)?;
            let table = self.quantization.get_mut(usize::from(kind))?;
            let mut entries = [0; 64];
            entries.iter_mut().zip(values).for_each(|(entry, value)| *entry = i32::from(*value));
            *table = Some(entries);
            segment = after;
        }
        Some(())
    }

    fn huffman(&mut self, mut segment: &'a [u8]) -> Option<()> {
        while let Some((&kind, table)) = segment.split_first() {
            let symbols: usize = table.get(..16)?.iter().map(|&count| usize::from(count)).sum();
            let (table, after) = table.split_at_checked(16 + symbols)?;
            let tables = if kind < 16 { &mut self.dc } else { &mut self.ac };
            *tables.get_mut(usize::from(kind & 15)).filter(|_| kind < 32)? = Some(table);
            segment = after;
        }
        Some(())
    }

    fn scan_header(&mut self, segment: &[u8]) -> Option<()> {
        let (&count, rest) = segment.split_first()?;
        let count = usize::from(count);
        if count != self.components.len() || rest.len() != count * 2 + 3 || rest[count * 2..] != [0, 63, 0] {
            return None;
        }
        for (component, named) in self.components.iter_mut().zip(rest.chunks_exact(2)) {
            if component.id != named[0] {
                return None;
            }
            (component.dc, component.ac) = (usize::from(named[1] >> 4), usize::from(named[1] & 15));
        }
        Some(())
    }
}
