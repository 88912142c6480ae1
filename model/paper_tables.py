"""Rows of the paper's tables: the published values and the matching network configurations.

Tables 1, 2 and 5 are on COCO (80 classes, 640x640), tables 3 and 4 on Gen1 (2 classes, windows of 2.5 s).
The entry T x D of a row is `slices` x `config.d_max` and is part of the row's name.
"""

from dataclasses import dataclass, replace

from spikewatch.model.coco_classes import COCO_CLASSES
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.spec import GEN1_CLASSES, WINDOW_US, ModelSpec


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One row of a table.

    Attributes:
        name: table, network, and T x D, for example `table1/s-1x4`.
        config: configuration of the network.
        slices: T.
        parameters_m: published number of parameters, in millions.
        power_mj: published energy of one inference in millijoules; None if the table has no value.
        ap50, ap: published AP at IoU 0.5, and averaged over IoU 0.5 to 0.95, in percent.
    """

    name: str
    config: SpikeYOLOConfig
    slices: int
    parameters_m: float
    power_mj: float | None
    ap50: float
    ap: float

    @property
    def spec(self) -> ModelSpec:
        """Specification of the untrained network, with the input of the row's data set."""
        coco = self.config.classes == len(COCO_CLASSES)
        height, width = (640, 640) if coco else (256, 320)
        return ModelSpec(
            name=f"{self.name.replace('/', '-')}-untrained",
            config=self.config,
            class_names=COCO_CLASSES if coco else GEN1_CLASSES,
            representation="image" if coco else "latest_polarity",
            slice_us=WINDOW_US["paper"] // self.slices,
            slices=self.slices,
            input_height=height,
            input_width=width,
        )


COCO_S = SpikeYOLOConfig("s", classes=80, in_channels=3)
GEN1_S = SpikeYOLOConfig("s", classes=2, in_channels=3)
YOLOV8_M = SpikeYOLOConfig("m", classes=80, in_channels=3, architecture="yolov8")

TABLE_1 = (
    PaperRow("table1/n-1x4", replace(COCO_S, scale="n"), 1, 13.2, 23.1, 59.2, 42.5),
    PaperRow("table1/s-1x1", replace(COCO_S, d_max=1), 1, 23.1, 18.4, 52.7, 36.1),
    PaperRow("table1/s-1x4", COCO_S, 1, 23.1, 34.6, 62.3, 45.5),
    PaperRow("table1/s-4x1", replace(COCO_S, d_max=1), 4, 23.1, 67.6, 55.7, 38.7),
    PaperRow("table1/s-4x4", COCO_S, 4, 23.1, 134.7, 63.3, 46.3),
    PaperRow("table1/m-1x4", replace(COCO_S, scale="m"), 1, 48.1, 68.5, 64.6, 47.4),
    PaperRow("table1/l-1x4", replace(COCO_S, scale="l"), 1, 68.8, 84.2, 66.2, 48.9),
)
TABLE_2 = (
    PaperRow("table2/yolov8", replace(YOLOV8_M, neuron="silu"), 1, 25.8, 183.5, 67.2, 50.2),
    PaperRow("table2/spiking-yolov8-1x1", replace(YOLOV8_M, d_max=1), 1, 25.8, 7.2, 46.8, 31.3),
    PaperRow("table2/spikeyolo-1x1", replace(COCO_S, d_max=1), 1, 23.1, 18.4, 52.7, 36.1),
    PaperRow("table2/ann", replace(COCO_S, neuron="silu"), 1, 23.1, 314.1, 65.0, 48.1),
)
TABLE_3 = (
    PaperRow("table3/ann", replace(GEN1_S, neuron="silu"), 1, 23.1, 73.5, 64.7, 39.7),
    PaperRow("table3/n-5x1", replace(GEN1_S, scale="n", d_max=1), 5, 13.2, 11.0, 66.0, 38.5),
    PaperRow("table3/s-5x1", replace(GEN1_S, d_max=1), 5, 23.1, 19.7, 66.4, 38.9),
    PaperRow("table3/s-4x2", replace(GEN1_S, d_max=2), 4, 23.1, 12.9, 67.2, 40.4),
)
TABLE_4 = tuple(
    PaperRow(f"table4/s-{slices}x{d_max}", replace(GEN1_S, d_max=d_max), slices, 23.1, power_mj, ap50, ap)
    for slices, d_max, power_mj, ap50, ap in (
        (1, 1, 4.0, 59.3, 33.1),
        (1, 2, 3.9, 65.1, 38.9),
        (2, 1, 8.1, 63.6, 36.5),
        (2, 2, 7.8, 66.1, 39.0),
        (2, 4, 7.1, 67.0, 40.1),
        (4, 1, 14.8, 66.0, 38.4),
        (4, 2, 12.9, 67.2, 40.4),
        (8, 1, 27.0, 66.7, 39.3),
    )
)
TABLE_5 = (
    PaperRow("table5/baseline", COCO_S, 1, 23.1, None, 62.3, 45.5),
    PaperRow(
        "table5/no-reparameterisation", replace(COCO_S, reparameterised=False), 1, 23.1, None, 60.6, 43.7
    ),
    PaperRow("table5/snn-block-2", replace(COCO_S, low_block="snn2"), 1, 19.9, None, 61.2, 44.7),
    PaperRow("table5/transformer", replace(COCO_S, high_block="transformer"), 1, 24.5, None, 61.0, 44.2),
    PaperRow("table5/anchor-based", replace(COCO_S, head="anchor_based"), 1, 21.2, None, 59.5, 39.7),
)
PAPER_ROWS = {row.name: row for row in (*TABLE_1, *TABLE_2, *TABLE_3, *TABLE_4, *TABLE_5)}
"""Row name -> row."""
