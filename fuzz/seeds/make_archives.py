"""Seeds of the target `unpack`: small archives, as the programs that people use write them.

    python make_archives.py

Python 3.11.
"""

import io
import tarfile
import zipfile
from pathlib import Path

FOLDER = Path(__file__).parent / "unpack"
FILES = {"faces/Ann/1.jpg": b"one", "faces/Ann/2.jpg": b"", "faces/Bob/1.jpg": b"3" * 600}
LONG = {"faces/" + "n" * 120 + "/" + "m" * 120 + ".jpg": b"long", "faces/Zo\u00eb/1.jpg": b"1"}


def tar(name, layout, files, links=()):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=layout) as archive:
        folder = tarfile.TarInfo("faces")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(folder)
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size, info.mtime = len(content), 1.5 if layout == tarfile.PAX_FORMAT else 1
            archive.addfile(info, io.BytesIO(content))
        for path, kind, target in links:
            info = tarfile.TarInfo(path)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    # Without most of the zeros at the end.
    (FOLDER / name).write_bytes(stream.getvalue().rstrip(b"\0").ljust(512, b"\0") + bytes(1536))


def zipped(name, method):
    with zipfile.ZipFile(FOLDER / name, "w", method) as archive:
        archive.mkdir("faces")
        for path, content in (FILES | LONG).items():
            archive.writestr(zipfile.ZipInfo(path), content, method)


FOLDER.mkdir(exist_ok=True)
tar("ustar.tar", tarfile.USTAR_FORMAT, FILES)
tar("gnu.tar", tarfile.GNU_FORMAT, FILES | LONG)
tar("pax.tar", tarfile.PAX_FORMAT, FILES | LONG)
tar("links.tar", tarfile.GNU_FORMAT, FILES, [("a", tarfile.SYMTYPE, ".."), ("b", tarfile.LNKTYPE, "faces/Ann/1.jpg")])
zipped("stored.zip", zipfile.ZIP_STORED)
zipped("deflated.zip", zipfile.ZIP_DEFLATED)
