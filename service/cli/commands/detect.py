"""`spikewatch detect`: detect objects in a recording or an image, without a server."""

from spikewatch.ingest.open import open_recording
from spikewatch.ingest.table_options import table_options
from spikewatch.service.cli.options.checks import (
    check_device,
    check_exists,
    check_no_recording_options,
    check_one_stdout,
    check_outputs,
    check_sensor_size,
    check_slice_options,
    check_weights,
)
from spikewatch.service.cli.options.command import takes_options
from spikewatch.service.cli.options.detect import IMAGE_SUFFIXES, SUFFIXES, DetectOptions
from spikewatch.service.cli.progress import loading
from spikewatch.service.cli.sinks import parse_sink_options
from spikewatch.service.filters import parse_filters
from spikewatch.service.inference.images import is_image
from spikewatch.service.zones.schema import load_zones


@takes_options(DetectOptions)
def detect(options: DetectOptions) -> None:
    """Detect objects in a recording; the membrane state is carried from its first slice to its last.

    Ctrl-C ends the run early: output files are complete up to that point, and the exit status is 130.
    An image is shown to the network T times, starting at rest; it needs weights trained on images.
    """
    check_sensor_size(options.width, options.height)
    check_slice_options(options.slice_us, options.window)
    check_outputs([] if options.video is None else [options.video], (".mp4",), options.source)
    check_exists(options.source)
    check_weights(options.weights)
    check_device(options.device)
    if is_image(options.source):
        _detect_image(options)
        return
    check_outputs(options.paths, SUFFIXES, options.source, stdout=True)
    check_one_stdout(options.to_stdout, options.as_json)
    sinks = parse_sink_options(options.sink, options.webhook_secret)
    zones = () if options.zones is None else load_zones(options.zones)
    filters = parse_filters(options.filters)
    source = options.source
    with open_recording(
        source,
        options.width,
        options.height,
        stream=options.stream,
        format=options.format,
        table=table_options(options.columns, options.time_unit),
    ) as recording:
        recording.sensor_size()
        with loading():
            from spikewatch.service.cli.actions.detect import run_detection

        run_detection(recording, options, zones, filters, sinks)


def _detect_image(options: DetectOptions) -> None:
    check_outputs(options.paths, IMAGE_SUFFIXES, options.source)
    for_recordings = (
        *(options.slice_us, options.window, options.width, options.hop, options.track or None),
        *(options.stream, options.format, options.columns, options.time_unit, options.zones, options.filters),
        options.sink,
    )
    check_no_recording_options(options.source, *for_recordings)
    with loading():
        from spikewatch.service.cli.actions.detect_image import run_image_detection

    run_image_detection(options)
