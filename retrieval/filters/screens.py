"""How screenshots are recognised: a name that systems give them, or exactly a screen's size in pixels; and no camera.

This is SQL over ``images AS i``, so that it also applies to pictures indexed earlier.
"""

from __future__ import annotations

_SIZES = (
    # Phones and tablets, the longer side first
    "960x640 1136x640 1334x750 1792x828 2208x1242 2436x1125 2532x1170 2556x1179 2622x1206 2688x1242 2778x1284 "
    "2796x1290 2868x1320 2048x1536 2160x1620 2224x1668 2266x1488 2360x1640 2388x1668 2420x1668 2732x2048 2752x2064 "
    "1520x720 1544x720 1600x720 1612x720 2160x1080 2220x1080 2280x1080 2310x1080 2340x1080 2376x1080 2400x1080 "
    "2408x1080 2412x1080 2424x1080 2460x1080 2520x1080 2856x1280 2960x1440 2992x1344 3040x1440 3088x1440 3120x1440 "
    "3200x1440 3216x1440 "
    # Desktops and laptops
    "1280x800 1366x768 1440x900 1536x864 1600x900 1680x1050 1920x1080 1920x1200 2256x1504 2560x1080 2560x1440 "
    "2560x1600 2560x1664 2736x1824 2880x1800 2880x1864 2880x1920 3000x2000 3024x1964 3072x1920 3440x1440 3456x2234 "
    "3840x1600 3840x2160 4480x2520 5120x1440 5120x2880 6016x3384"
)

_BEGINNINGS = (
    "screenshot",
    "screen shot",
    "screen_shot",
    "scrnshot",
    "bildschirmfoto",
    "capture d%cran",
    "captura de pantalla",
    "captura de tela",
    "captura de ecr",
    "schermata",
    "istantanea schermo",
    "schermafbeelding",
    "skärmavbild",
    "skjermbilde",
    "skærmbillede",
    "zrzut ekranu",
    "снимок экрана",
    "スクリーンショット",
    "屏幕截图",
    "截屏",
    "截图",
    "스크린샷",
)
"""Parts of file names, folded as by ``folding.fold``."""

_NAMED = " OR ".join(f"i.name_key LIKE '{beginning}%'" for beginning in _BEGINNINGS)
_LONGER, _SHORTER = (f"CASE WHEN i.width {than} i.height THEN i.width ELSE i.height END" for than in "><")
_SIDES = ", ".join(f"({size.replace('x', ', ')})" for size in _SIZES.split())

IS_SCREENSHOT = f"""(i.camera IS NULL AND i.exposure IS NULL AND i.latitude IS NULL AND (({_NAMED})
    OR (i.format = 'PNG' AND ({_LONGER}, {_SHORTER}) IN (VALUES {_SIDES}))))"""
"""A PNG of a screen's size, or any file with such a name. A drawing of that size also matches."""
