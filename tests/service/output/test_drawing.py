import numpy as np
import pytest

from spikewatch.service.inference.event_counts import NO_EVENT_VALUE
from spikewatch.service.output.drawing import (
    BACKGROUND,
    BANNER_COLOUR,
    CAPTION_BACKGROUND,
    OFF_COLOUR,
    ON_COLOUR,
    annotate,
    event_image,
    integer_scale,
    label_colour,
)


def blank(height: int = 240, width: int = 304, scale: int = 4) -> np.ndarray:
    return event_image(np.zeros((2, height, width), np.uint16), scale)


@pytest.mark.parametrize(("width", "scale"), [(64, 15), (304, 4), (346, 3), (640, 2), (960, 1), (1280, 1)])
def test_small_sensors_become_wide_enough(width: int, scale: int) -> None:
    assert integer_scale(width) == scale


def test_counts_show_the_stronger_polarity_and_more_events_brighter() -> None:
    counts = np.zeros((2, 1, 4), np.uint16)
    counts[0, 0, 1], counts[1, 0, 2], counts[1, 0, 3] = 60_000, 1, 60_000
    picture = event_image(counts, 2)
    assert picture.shape == (2, 8, 3)
    assert picture.dtype == np.uint8
    assert tuple(picture[0, 0]) == BACKGROUND
    assert tuple(picture[1, 3]) == OFF_COLOUR
    assert tuple(picture[0, 7]) == ON_COLOUR
    assert BACKGROUND[0] < picture[0, 5, 0] < ON_COLOUR[0]


def test_latest_polarity_has_three_values() -> None:
    frame = np.array([[[NO_EVENT_VALUE, 0, 255]]], np.uint8)
    assert [tuple(pixel) for pixel in event_image(frame, 1)[0]] == [BACKGROUND, OFF_COLOUR, ON_COLOUR]


def test_a_frame_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        event_image(np.zeros((3, 4, 5), np.uint8), 1)


def test_box_edges_have_the_class_colour_and_the_inside_is_untouched() -> None:
    picture = annotate(blank(), [(100, 80, 60, 40)], ["car"], [0.9], scale=4)
    colour = label_colour("car")
    for row, column in ((320, 520), (479, 520), (400, 400), (400, 639)):
        assert tuple(picture[row, column]) == colour
    assert tuple(picture[400, 520]) == BACKGROUND


def test_classes_differ_in_brightness_too() -> None:
    assert label_colour("car") != label_colour("pedestrian")
    assert label_colour("zebra") == label_colour("zebra")


@pytest.mark.parametrize("box", [(-20, -20, 500, 500), (300, 236, 40, 40), (400, 400, 10, 10), (5, 5, 0, 0)])
def test_boxes_at_and_over_the_border_are_drawn_inside(box: tuple[int, int, int, int]) -> None:
    assert annotate(blank(), [box], ["pedestrian"], [0.5], scale=4).shape == (960, 1216, 3)


def test_tags_of_two_equal_boxes_stay_apart() -> None:
    once = annotate(blank(), [(100, 80, 60, 40)], ["car"], [0.9], scale=4)
    twice = annotate(blank(), [(100, 80, 60, 40)] * 2, ["car"] * 2, [0.9, 0.8], scale=4)
    painted = [(np.asarray(p) == label_colour("car")).all(-1).sum() for p in (once, twice)]
    assert painted[1] > painted[0] + 500


def test_banner_above_and_captions_beneath() -> None:
    plain = blank(5, 5, 1)
    picture = annotate(plain, np.empty((0, 4)), [], [], ["one", "two"], "untrained weights", scale=1)
    assert tuple(picture[0, 0]) == BANNER_COLOUR
    assert tuple(picture[-1, 0]) == CAPTION_BACKGROUND
    assert len(picture) % 2 == 0
    assert len(picture) > len(plain)


def test_a_long_caption_is_made_to_fit() -> None:
    picture = annotate(blank(), [], [], [], ["word " * 40, "x" * 80])
    assert (picture[:, -1] == CAPTION_BACKGROUND).all(-1).sum() > 50


def test_the_input_picture_is_left_alone() -> None:
    image = blank()
    annotate(image, [(10, 10, 50, 50)], ["car"], [1.0], scale=4)
    assert (image == BACKGROUND).all()


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="1 boxes, 2 labels"):
        annotate(blank(), [(1, 2, 3, 4)], ["car", "car"], [0.5])
