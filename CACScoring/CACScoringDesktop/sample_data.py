"""The sample scan in Slicer's Sample Data module: a synthetic patient, made here, no download."""

from pathlib import Path

import slicer


def register(thumbnail):
    """Offer the sample scan."""
    import SampleData

    from CACScoringLib.mrml.sample import SAMPLE_NAME

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="Cardiac",
        sampleName=SAMPLE_NAME,
        thumbnailFileName=thumbnail,
        uris=[],
        fileNames=[],
        nodeNames=[],
        checksums=[],
        loadFiles=[],
        loadFileTypes=[],
        customDownloader=makeAndLoad,
    )


def makeAndLoad(source=None):
    """Make the sample scan in a process of its own, unless it was made before, and load it."""
    from CACScoringDesktop.layout import showVolume
    from CACScoringLib.mrml.sample import load_sample, make_sample

    cache = Path(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory())
    node = load_sample(slicer.mrmlScene, make_sample(cache, busy=slicer.app.processEvents))
    showVolume(node)
    return [node]
