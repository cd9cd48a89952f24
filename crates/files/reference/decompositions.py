"""Writes src/decompositions.txt: the letters with marks of Unicode, and what they are without and the marks, as code points.

    python3 decompositions.py > ../src/decompositions.txt

Left out: Hangul, which is computed, and what is one character both ways.
"""

import sys
import unicodedata

print(f"# Canonical decompositions of Unicode {unicodedata.unidata_version} (reference/decompositions.py).")
for code in range(sys.maxunicode + 1):
    parts = unicodedata.normalize("NFD", chr(code)) if not 0xD800 <= code < 0xE000 else ""
    if len(parts) > 1 and not 0xAC00 <= code < 0xD7A4:
        print(f"{code:X}", *(f"{ord(part):X}" for part in parts))
