"""The paper's tables, counted on the networks, agree with He et al. 2016, Table 1."""

from fer.comparison.networks import RESNETS, architecture, layers_rows, models_rows


def test_depth_size_cost_and_layers():
    found = [architecture(name) for name in RESNETS]
    assert [a.depth for a in found] == [18, 34, 50]
    assert [round(a.macs / 1e9, 1) for a in found] == [1.8, 3.7, 4.1]
    assert [round(a.parameters / 1e6, 1) for a in found] == [11.7, 21.8, 25.6]
    assert [a.our_parameters < a.parameters for a in found] == [True] * 3
    headings, rows = models_rows(found)
    assert [row[headings.index("paper's Table 1, GFLOPs")] for row in rows] == ["233", "470", "527"]
    _, layers = layers_rows(found)
    assert layers[0] == ["conv1", "112×112", *["7×7, 64, stride 2"] * 3]
    assert layers[4][2:] == ["[3×3, 256; 3×3, 256] × 2", "[3×3, 256; 3×3, 256] × 6",
                             "[1×1, 256; 3×3, 256; 1×1, 1024] × 6"]  # fmt: skip
    assert [row[1] for row in layers] == ["112×112", "56×56", "56×56", "28×28", "14×14", "7×7", "1×1"]
