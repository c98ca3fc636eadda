"""Writes the interface font: a subset of Noto Sans CJK SC (SIL Open Font License 1.1)."""

import pathlib
import sys

from fontTools import subset
from fontTools.ttLib import TTCollection

SYMBOLS = "→←↑↓↔°²³₀₁₂₃₄·×÷±−≥≤≠≈¥€‰–—…‘’“”«»•✓✕⚠▲▼◆■●○△▽▨ⓘ⟨⟩ΔΣΩαβηλμπσφ㎡℃①②③④\u2009\u202f\u00a0"


def gb2312_level_1():
    for row in range(16, 56):
        for cell in range(1, 95):
            try:
                yield bytes([0xA0 + row, 0xA0 + cell]).decode("gb2312")
            except UnicodeDecodeError:
                pass  # the last row has five empty cells


def repository_text(root):
    patterns = ["assets/i18n/**/*.ftl", "scenes/**/*.toml", "scenes/**/*.geojson", "twin-client/src/**/*.rs"]
    for pattern in patterns:
        for path in root.glob(pattern):
            yield from path.read_text(encoding="utf-8")


def wanted(root):
    characters = set(map(chr, range(0x20, 0x7F))) | set(map(chr, range(0xA0, 0x180))) | set(SYMBOLS)
    characters |= set(gb2312_level_1())
    # Punctuation of the first GB 2312 rows and full-width forms.
    characters |= set("　、。〃々〈〉《》「」『』【】〔〕！（），．：；？～￥％＋－／＝")
    characters |= set(repository_text(root))
    return {ord(c) for c in characters if ord(c) >= 0x20}


def main(source, target):
    root = pathlib.Path(__file__).resolve().parent.parent
    collection = TTCollection(source)
    face = next(
        (i for i, font in enumerate(collection.fonts) if font["name"].getDebugName(6) == "NotoSansCJKsc-Regular"), None
    )
    if face is None:
        sys.exit(f"{source} holds no face NotoSansCJKsc-Regular")
    options = subset.Options()
    options.font_number = face
    options.layout_features = ["kern", "locl", "mark", "mkmk", "ccmp"]
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
    options.hinting = False
    options.desubroutinize = False
    options.notdef_outline = True
    # Nothing in the file depends on when it was made.
    options.recalc_timestamp = False
    font = subset.load_font(source, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=wanted(root))
    subsetter.subset(font)
    pathlib.Path(target).parent.mkdir(parents=True, exist_ok=True)
    subset.save_font(font, target, options)
    kept = len(font.getBestCmap())
    print(f"{target}: {kept} characters, {pathlib.Path(target).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
