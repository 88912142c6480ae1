"""The service runs any network: one without membranes, one whose spikes travel between layers."""

import pytest

from spikewatch.model.network.config import SpikeYOLOConfig
from tests.model.support.fakes import small_detector
from tests.service.support.live import comparable, dat_file, dat_stream, live_service, upload


@pytest.mark.parametrize(
    "config",
    [
        SpikeYOLOConfig(neuron="silu"),
        SpikeYOLOConfig("n", architecture="yolov8"),
        SpikeYOLOConfig(high_block="transformer", head="anchor_based"),
    ],
    ids=["ann", "yolov8", "transformer-anchors"],
)
def test_variant_serves_uploads_sessions_and_snapshots(config: SpikeYOLOConfig) -> None:
    with live_service(small_detector(config=config)) as live:
        windows, _ = upload(live, dat_file(8), confidence=0.001)
        first, second = live.open(confidence=0.001), live.open(confidence=0.001)
        stream, cut = dat_stream(8), 5 * 300 * 8
        got = live.http.post(f"/v1/sessions/{first}/events", content=stream[:cut]).json()["windows"]
        state = live.http.get(f"/v1/sessions/{first}/state")
        assert int(state.headers["Spikewatch-Position-Us"]) == 250_000
        live.http.put(f"/v1/sessions/{second}/state", content=state.content).raise_for_status()
        rest = stream[cut:]
        got += live.http.post(f"/v1/sessions/{second}/events", content=rest).json()["windows"]
        got += live.http.delete(f"/v1/sessions/{second}").json()["windows"]
        assert len(got) == 2
        if config.spiking:
            assert comparable(got) == comparable(windows)
            assert windows[0]["firing_rate"] > 0
            assert windows[0]["energy_mj"]["snn"] < windows[0]["energy_mj"]["ann"]
        else:
            assert [w["firing_rate"] for w in windows] == [0, 0]
            assert windows[0]["energy_mj"]["snn"] == windows[0]["energy_mj"]["ann"]
            assert live.metric("spikewatch_state_bytes") == 0
        model = live.http.get("/v1/models").json()["models"][0]
        assert (model["architecture"], model["neuron"]) == (config.architecture, config.neuron)
        assert "NaN" not in live.http.get("/metrics").text
