//! Pages that are written by hand, and by the library.

use std::{
    io::Write,
    sync::{Arc, OnceLock},
};

use facegrad_files::PooledFile;
use parquet::{
    basic::{Compression, Encoding, Repetition, Type as Physical},
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    errors::Result as ParquetResult,
    file::{
        metadata::ColumnChunkMetaData,
        properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion},
        writer::SerializedFileWriter,
    },
    schema::{
        parser::parse_message_type,
        types::{ColumnDescPtr, ColumnDescriptor, ColumnPath, Type},
    },
};

use tempfile::NamedTempFile;

use crate::{ColumnPages, ParquetFault, ParquetFile, bounded::FileBytes, pages::Values};

fn column() -> ColumnDescPtr {
    let kind = Type::primitive_type_builder("image", Physical::BYTE_ARRAY);
    let kind = Arc::new(kind.with_repetition(Repetition::REQUIRED).build().unwrap());
    Arc::new(ColumnDescriptor::new(kind, 0, 0, ColumnPath::from("image")))
}

fn number(value: i64) -> Vec<u8> {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    let mut bytes = Vec::new();
    while zigzag >= 0x80 {
        bytes.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    bytes.push(zigzag as u8);
    bytes
}

/// A data page of version 1, or a dictionary, with a header that claims what it likes.
fn page(kind: u8, uncompressed: i64, compressed: i64, values: i64, encoding: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x15, kind << 1, 0x15];
    bytes.extend(number(uncompressed));
    bytes.push(0x15);
    bytes.extend(number(compressed));
    bytes.extend([if kind == 0 { 0x2c } else { 0x4c }, 0x15]);
    bytes.extend(number(values));
    bytes.extend([0x15, encoding << 1]);
    if kind == 0 {
        // RLE levels.
        bytes.extend([0x15, 0x06, 0x15, 0x06]);
    }
    bytes.extend([0x00, 0x00]);
    bytes.extend(content);
    bytes
}

/// A page of values, or a dictionary, that is what it claims to be.
fn honest(kind: u8, values: i64, encoding: u8, content: &[u8]) -> Vec<u8> {
    page(kind, content.len() as i64, content.len() as i64, values, encoding, content)
}

fn string(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u32).to_le_bytes()[..], text].concat()
}

/// The strings of a column that is a whole file.
fn read(bytes: &[u8], compression: Compression, rows: u32) -> Result<Vec<Vec<u8>>, String> {
    read_as(bytes, compression, rows, crate::MAX_PAGE as u64)
}

/// The same, with pages of more than `whole` bytes read in parts.
fn read_as(bytes: &[u8], compression: Compression, rows: u32, whole: u64) -> Result<Vec<Vec<u8>>, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let length = bytes.len() as u64;
    let pages = ColumnPages {
        bytes: FileBytes { file: Arc::new(PooledFile::open(file.path()).unwrap()), headers: None },
        column: column(),
        compression,
        place: 0..length,
        rows,
        whole,
        found: OnceLock::new(),
    };
    let strings = (0..rows as usize).map(|row| {
        let (page, row) = pages.page_of(row)?;
        Ok(pages.decode(page)?.value(row, &mut None)?.unwrap())
    });
    strings.collect::<Result<_, _>>().map_err(|fault: ParquetFault| fault.to_string())
}

const PLAIN: Compression = Compression::UNCOMPRESSED;

#[test]
fn pages_are_read_one_after_the_other() {
    let first = honest(0, 2, 0, &[string(b"one"), string(b"")].concat());
    // An index page is passed over.
    let file = [first, page(1, 3, 3, 9, 0, b"abc"), honest(0, 1, 0, &string(b"three"))].concat();
    assert_eq!(read(&file, PLAIN, 3).unwrap(), [&b"one"[..], b"", b"three"]);
    assert_eq!(read(&file, PLAIN, 4).unwrap_err(), "the pages of a column have 3 rows, and its row group 4");
    assert_eq!(
        read(&file[..file.len() - 1], PLAIN, 3).unwrap_err(),
        "a page is damaged, or longer than its column"
    );
    assert_eq!(read(&file[..20], PLAIN, 3).unwrap_err(), "a page is damaged, or longer than its column");
    assert_eq!(read(&file[..10], PLAIN, 3).unwrap_err(), "a page is damaged, or longer than its column");
    // What has no rows may have no pages.
    assert_eq!(read(b"", PLAIN, 0).unwrap(), Vec::<Vec<u8>>::new());
}

#[test]
fn claims_are_checked_before_memory_is_taken() {
    let text = string(b"one");
    let two_gib = i64::from(i32::MAX);
    // What a header claims to be inflated is nothing that is believed.
    let claims = |uncompressed, compressed, values| {
        read(&page(0, uncompressed, compressed, values, 0, &text), Compression::SNAPPY, 1).unwrap_err()
    };
    for uncompressed in [two_gib, 7] {
        let error = claims(uncompressed, 7, 1);
        assert!(error.starts_with("snappy: corrupt input"), "{error}");
    }
    assert_eq!(claims(7, two_gib, 1), "a page is damaged, or longer than its column");
    assert_eq!(claims(7, -7, 1), "a page is damaged, or longer than its column");
    assert_eq!(claims(7, 7, -1), "a page is damaged, or longer than its column");
    assert_eq!(claims(i64::MAX, i64::MAX, 1), "a page is damaged, or longer than its column");
    // What a stream claims to be, or is.
    let stream = [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &text].concat();
    assert_eq!(
        read(&honest(0, 1, 0, &stream), Compression::SNAPPY, 1).unwrap_err(),
        "a page has or claims 4294967295 bytes; of a value, and of a page that is not of plain values, at most 256 MiB \
         are read, which smaller row groups have (pyarrow: row_group_size=100)"
    );
    let zeros = std::io::repeat(0);
    let bomb = zstd::encode_all(std::io::Read::take(zeros, crate::MAX_PAGE as u64 + 2), 1).unwrap();
    assert!(bomb.len() < 1 << 20);
    let error = read(&honest(0, 1, 0, &bomb), Compression::ZSTD(Default::default()), 1).unwrap_err();
    assert!(error.starts_with("a page has or claims 268435457 bytes"), "{error}");
    // Values beyond those that are there.
    let many = (1 << 20) + 1;
    assert_eq!(
        read(&honest(0, many, 0, &text), PLAIN, many as u32).unwrap_err(),
        "a page has 1048577 values; at most 1048576 are read"
    );
    assert!(read(&honest(0, 2, 0, &text), PLAIN, 2).is_err());
    // A string that claims more than its page.
    let long = [&u32::MAX.to_le_bytes()[..], b"abc"].concat();
    assert!(read(&honest(0, 1, 0, &long), PLAIN, 1).is_err());
    let dictionary = honest(2, 1, 0, &text);
    assert_eq!(
        read(&[dictionary.clone(), dictionary].concat(), PLAIN, 1).unwrap_err(),
        "a column has two dictionaries"
    );
    assert_eq!(read(&honest(0, 1, 0, &text), PLAIN, 1).unwrap(), [b"one"]);
    // A reference without a dictionary.
    assert!(read(&honest(0, 1, 8, &text), PLAIN, 1).is_err());
    let dictionary = honest(2, two_gib, 0, &text);
    assert_eq!(
        read(&[dictionary, honest(0, 1, 8, &[1, 2, 0])].concat(), PLAIN, 1).unwrap_err(),
        "a dictionary claims 2147483647 values in 7 bytes; at most 1048576 are read"
    );
    // Delta-coded lengths that claim to be 2^34, alone or as the second of two.
    let lengths = [&[0x80, 0x01, 4][..], &[0x80, 0x80, 0x80, 0x80, 0x40], &[0]].concat();
    let one = [0x80, 0x01, 4, 1, 0];
    for (encoding, content) in
        [(6, lengths.clone()), (7, lengths.clone()), (7, [&one[..], &lengths].concat())]
    {
        let error = read(&honest(0, 1, encoding, &content), PLAIN, 1).unwrap_err();
        assert_eq!(error, "the lengths in a page are damaged, or more than its values", "{encoding}");
    }
    // Strings that are all of the one before.
    let shared = [&[0x80, 0x01, 1, 2, 0, 10, 0][..], &[0x80, 0x01, 1, 2, 10, 9, 0], b"hello"].concat();
    assert_eq!(read(&honest(0, 2, 7, &shared), PLAIN, 2).unwrap(), [b"hello", b"hello"]);
}

#[test]
fn columns_lie_within_their_file() {
    let file = write(WriterProperties::builder()).unwrap();
    let refused = |offset: i64, size: i64, dictionary, compression| {
        let mut file = ParquetFile::open(file.path()).unwrap();
        let about = ColumnChunkMetaData::builder(file.column(0))
            .set_total_compressed_size(size)
            .set_data_page_offset(offset)
            .set_dictionary_page_offset(dictionary)
            .set_compression(compression)
            .build()
            .unwrap();
        let mut columns = file.metadata.row_group(1).columns().to_vec();
        columns[0] = about;
        let mut groups = file.metadata.row_groups().to_vec();
        groups[1] = groups[1].clone().into_builder().set_column_metadata(columns).build().unwrap();
        file.metadata = file.metadata.into_builder().set_row_groups(groups).build();
        file.pages(1, 0).unwrap_err().to_string()
    };
    let length = file.as_file().metadata().unwrap().len() as i64;
    let without = "a column is not within the file, which may be truncated";
    assert_eq!(refused(1, length, None, PLAIN), without);
    assert_eq!(refused(i64::MAX, i64::MAX, None, PLAIN), without);
    assert_eq!(refused(-1, 10, None, PLAIN), "the place of a column is negative");
    assert_eq!(refused(0, -1, None, PLAIN), "the place of a column is negative");
    assert_eq!(refused(length, 10, Some(i64::MIN), PLAIN), without);
    assert_eq!(
        refused(0, 10, None, Compression::LZ4),
        "it is compressed with LZ4; snappy, zstd, gzip or none is read"
    );
}

const ROWS: usize = 1000;

/// Strings with much in common, as paths are; every seventh is absent.
fn texts() -> Vec<Option<ByteArray>> {
    (0..ROWS).map(|i| (i % 7 != 6).then(|| format!("people/{}/{i}.jpg", i / 10).as_str().into())).collect()
}

fn write(properties: WriterPropertiesBuilder) -> ParquetResult<NamedTempFile> {
    let schema = "message rows { OPTIONAL BYTE_ARRAY text; REQUIRED INT64 number; REQUIRED DOUBLE real; }";
    let mut file = NamedTempFile::new().unwrap();
    let properties = properties.set_statistics_enabled(EnabledStatistics::None).build();
    let mut out =
        SerializedFileWriter::new(&mut file, Arc::new(parse_message_type(schema)?), Arc::new(properties))?;
    // Row groups without rows are passed over.
    for rows in [0..0, 0..600, 600..600, 600..ROWS] {
        let mut group = out.next_row_group()?;
        let texts = &texts()[rows.clone()];
        let levels: Vec<i16> = texts.iter().map(|text| text.is_some().into()).collect();
        let texts: Vec<ByteArray> = texts.iter().flatten().cloned().collect();
        let mut column = group.next_column()?.unwrap();
        column.typed::<ByteArrayType>().write_batch(&texts, Some(&levels), None)?;
        column.close()?;
        let numbers: Vec<i64> = rows.clone().map(|i| i as i64 * 7 % 100).collect();
        let mut column = group.next_column()?.unwrap();
        column.typed::<Int64Type>().write_batch(&numbers, None, None)?;
        column.close()?;
        let reals: Vec<f64> = rows.map(|i| i as f64 / 8.0).collect();
        let mut column = group.next_column()?.unwrap();
        column.typed::<DoubleType>().write_batch(&reals, None, None)?;
        column.close()?;
        group.close()?;
    }
    out.close()?;
    Ok(file)
}

#[test]
fn every_encoding_and_compression_is_read() {
    use Encoding::{
        BYTE_STREAM_SPLIT, DELTA_BINARY_PACKED, DELTA_BYTE_ARRAY, DELTA_LENGTH_BYTE_ARRAY, PLAIN,
        RLE_DICTIONARY,
    };
    let versions = [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0];
    let compressions =
        [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(Default::default())];
    let encodings = [
        (PLAIN, PLAIN, PLAIN),
        (DELTA_BYTE_ARRAY, DELTA_BINARY_PACKED, BYTE_STREAM_SPLIT),
        (DELTA_LENGTH_BYTE_ARRAY, BYTE_STREAM_SPLIT, PLAIN),
        (RLE_DICTIONARY, RLE_DICTIONARY, RLE_DICTIONARY),
    ];
    for ((version, compression), (text, number, real)) in versions
        .into_iter()
        .flat_map(|version| compressions.map(|compression| (version, compression)))
        .flat_map(|how| encodings.map(|encodings| (how, encodings)))
    {
        {
            let mut properties = WriterProperties::builder()
                .set_writer_version(version)
                .set_compression(compression)
                .set_dictionary_enabled(text == RLE_DICTIONARY)
                .set_data_page_row_count_limit(37)
                .set_write_batch_size(1);
            for (column, encoding) in [("text", text), ("number", number), ("real", real)] {
                if encoding != RLE_DICTIONARY {
                    properties = properties.set_column_encoding(ColumnPath::from(column), encoding);
                }
            }
            let how = format!("{version:?} {compression} {text} {number} {real}");
            let file = ParquetFile::open(write(properties).unwrap().path()).unwrap();
            let (mut strings, mut numbers, mut reals) = (Vec::new(), Vec::<i64>::new(), Vec::<f64>::new());
            let mut paged = Vec::new();
            for group in 0..file.metadata().num_row_groups() {
                let fault = |error: ParquetFault| -> () { panic!("{how}: {error}") };
                let all = file.values::<ByteArrayType, ParquetFault>(group, 0, |text| {
                    strings.push(text.cloned());
                    Ok(())
                });
                all.unwrap_or_else(fault);
                let all = file.values::<Int64Type, ParquetFault>(group, 1, |number| {
                    numbers.extend(number);
                    Ok(())
                });
                all.unwrap_or_else(fault);
                let all = file.values::<DoubleType, ParquetFault>(group, 2, |real| {
                    reals.extend(real);
                    Ok(())
                });
                all.unwrap_or_else(fault);
                let pages = file.pages(group, 0).unwrap();
                for row in 0..file.rows(group) {
                    let (page, row) = pages.page_of(row).unwrap();
                    let decoded = pages.decode(page).unwrap();
                    assert!(decoded.rows() <= 37, "{how}");
                    paged.push(decoded.value(row, &mut None).unwrap().map(ByteArray::from));
                }
            }
            assert_eq!((strings, paged), (texts(), texts()), "{how}");
            assert_eq!(numbers, (0..ROWS).map(|i| i as i64 * 7 % 100).collect::<Vec<_>>(), "{how}");
            assert_eq!(reals, (0..ROWS).map(|i| i as f64 / 8.0).collect::<Vec<_>>(), "{how}");
        }
    }
}

/// Bytes that do not compress, as those of photographs; every fifth is absent, every seventh comes again.
fn photographs() -> Vec<Option<ByteArray>> {
    let content = |number: u32| -> Vec<u8> {
        let mut state = number.wrapping_mul(2_654_435_761) + 1;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        noise.take(100_000 + number as usize * 37).collect()
    };
    let number = |row: u32| if row % 7 == 6 { 0 } else { row };
    (0..40).map(|row| (row % 5 != 4).then(|| content(number(row)).into())).collect()
}

/// A page of megabytes takes no more memory than what says where its values are, in any order.
#[test]
fn large_pages_are_read_in_parts() {
    let photographs = photographs();
    let levels: Vec<i16> = photographs.iter().map(|photograph| photograph.is_some().into()).collect();
    let values: Vec<ByteArray> = photographs.iter().flatten().cloned().collect();
    let zstd = Compression::ZSTD(Default::default());
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, zstd] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for has_dictionary in [false, true] {
                let properties = WriterProperties::builder()
                    .set_writer_version(version)
                    .set_compression(compression)
                    .set_dictionary_enabled(has_dictionary)
                    .set_dictionary_page_size_limit(1 << 30)
                    .set_data_page_size_limit(1 << 30)
                    .set_statistics_enabled(EnabledStatistics::None);
                let properties = match has_dictionary {
                    true => properties,
                    false => properties.set_encoding(Encoding::PLAIN),
                };
                let mut file = NamedTempFile::new().unwrap();
                let schema =
                    Arc::new(parse_message_type("message s { OPTIONAL BYTE_ARRAY image; }").unwrap());
                let mut out =
                    SerializedFileWriter::new(&mut file, schema, Arc::new(properties.build())).unwrap();
                let mut group = out.next_row_group().unwrap();
                let mut column = group.next_column().unwrap().unwrap();
                column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
                column.close().unwrap();
                group.close().unwrap();
                out.close().unwrap();

                let is_stream = compression == zstd;
                for (whole, memory) in [(crate::MAX_PAGE as u64, 2), (1 << 20, 0)] {
                    let how = format!("{compression} {version:?} {has_dictionary} {whole}");
                    let pages = ParquetFile::open(file.path()).unwrap().pages(0, 0).unwrap();
                    let pages = ColumnPages { whole, ..pages };
                    let (page, _) = pages.page_of(0).unwrap();
                    let decoded = pages.decode(page).unwrap();
                    assert_eq!(decoded.rows(), photographs.len(), "{how}");
                    let is_whole = matches!(decoded.values, Values::Whole(_));
                    assert_eq!(is_whole, is_stream && memory > 0, "{how}");
                    assert_eq!(decoded.size() < 4096, !is_stream, "{how}: {}", decoded.size());
                    let cost = pages.cost(page).unwrap();
                    assert_eq!(cost.inflated > 1 << 20, is_stream, "{how}");
                    assert_eq!(cost.memory, memory * cost.inflated, "{how}");
                    let mut kept = None;
                    for row in (0..photographs.len()).chain((0..photographs.len()).rev()) {
                        let value = decoded.value(row, &mut kept).unwrap().map(ByteArray::from);
                        assert!(value == photographs[row], "{how}: {row}");
                    }
                }
            }
        }
    }
}

/// A page that claims, and is, more than is read as a whole.
#[test]
fn streams_are_read_as_far_as_they_go() {
    let gzip = Compression::GZIP(Default::default());
    let zstd = Compression::ZSTD(Default::default());
    let strings: Vec<Vec<u8>> = (0..9_u8).map(|i| vec![i; usize::from(i) * 700]).collect();
    let content: Vec<u8> = strings.iter().flat_map(|text| string(text)).collect();
    let packed = |compression, content: &[u8]| match compression {
        Compression::GZIP(_) => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        _ => zstd::encode_all(content, 1).unwrap(),
    };
    let claims = |compression, kind, claimed: usize, values, content: &[u8]| {
        let content = packed(compression, content);
        page(kind, claimed as i64, content.len() as i64, values, 0, &content)
    };
    for compression in [gzip, zstd] {
        let read = |bytes: &[u8], rows| read_as(bytes, compression, rows, 1000);
        let plain = claims(compression, 0, content.len(), 9, &content);
        assert_eq!(read(&plain, 9).unwrap(), strings);
        // References of four bits to the dictionary: 8, 7, ... 1, and one run of eight of the same.
        let dictionary = claims(compression, 2, content.len(), 9, &content);
        let codes = packed(compression, &[4, 3, 0x78, 0x56, 0x34, 0x12]);
        let coded = page(0, 6, codes.len() as i64, 8, 8, &codes);
        let backwards: Vec<_> = strings[1..].iter().rev().cloned().collect();
        assert_eq!(read(&[dictionary, coded].concat(), 8).unwrap(), backwards);
        // Fewer values than claimed, and fewer or more bytes.
        let (length, beyond) = (content.len(), "a value reaches beyond its page");
        for (claimed, values, reason) in [
            (length, 10, beyond),
            (length - 1, 9, beyond),
            (length - 1, 8, "a page is longer than it claims"),
            (i32::MAX as usize, 9, beyond),
        ] {
            let plain = claims(compression, 0, claimed, values, &content);
            assert_eq!(read(&plain, values as u32).unwrap_err(), reason, "{claimed} {values}");
        }
        // A value that claims gigabytes which the page claims as well.
        let long = [&0x7000_0000_u32.to_le_bytes()[..], b"abc"].concat();
        let error = read(&claims(compression, 0, i32::MAX as usize, 1, &long), 1).unwrap_err();
        assert_eq!(error, beyond);
        let plain = claims(compression, 0, content.len(), 9, &content);
        let damaged = [&plain[..plain.len() - 30], &[0; 30]].concat();
        assert!(read(&damaged, 9).is_err(), "{compression}");
    }
}
