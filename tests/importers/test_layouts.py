"""Small recordings in the layout of real exports, with the fixations that must come out of them."""

import json
from pathlib import Path

import pytest

from fovea.importers.recordings.convert import find_recordings
from fovea.importers.recordings.geometry import Place, Screen

from .conftest import Import, detection, importer

NONE, FULL = Screen(), Place(0, 0, 1000, 500)


def asc(path: Path, *lines: str) -> Path:
    """Write an ASC file for a display of 1000 x 500; a line has its cells between bars."""
    text = "\n".join(("MSG|90 DISPLAY_COORDS 0 0 999 499", *lines)).replace("|", "\t")
    path.write_text(text + "\n", encoding="cp1252")
    return path


def fixation(start: int, end: int, x: float = 500, y: float = 250, eye: str = "L", duration: int | None = None) -> str:
    return f"EFIX {eye}   {start}|{end}|{duration or end - start}|{x}|{y}|900"


def table(path: Path, text: str) -> Path:
    """Write a table; bars become tabs."""
    path.write_text(text.replace("|", "\t"), encoding="utf-8")
    return path


@pytest.fixture
def run(imported: Import):
    """Return a function that imports a file with images that fill a screen of 1000 x 500."""

    def run(name: str, path: Path, /, place=FULL, **keys):
        return imported(name, path, screen=NONE, place=place, **keys)

    return run


class TestEyelink:
    def test_refuses_head_referenced_samples(self, run, tmp_path: Path) -> None:
        lines = ["MSG|95 TRIALID a.png", "START|100 |RIGHT|SAMPLES", "SAMPLES|HREF|RIGHT|RATE|1000.00"]
        path = asc(tmp_path / "s.asc", *lines, *(f"{100 + time}|-3606.0|-1638.0|829.0" for time in range(9)))
        with pytest.raises(ValueError, match="head-referenced"):
            run("eyelink_asc", path)

    def test_head_referenced_events_hold_gaze_too(self, run, tmp_path: Path) -> None:
        event = "EFIX R   110|324|214|-3575.0|-1634.0|  200.0|  100.0|    840"
        lines = ["MSG|95 TRIALID a.png", "START|100 |RIGHT|EVENTS", "EVENTS|HREF|RIGHT|RATE|1000.00", event]
        rows, _ = run("eyelink_asc", asc(tmp_path / "s.asc", *lines))
        assert rows == [("a.png", 0.2, 0.2, 15, 214)]
        assert ",840," in (tmp_path / "out.csv").read_text()

    @pytest.mark.parametrize(
        ("until", "inside"),
        [("blank_screen", [1, 2]), ("never", [2, 2]), (None, [1, 2])],
        ids=["set", "never", "default"],
    )
    def test_name_after_the_recording(self, run, tmp_path: Path, until: str | None, inside: list[int]) -> None:
        lines = ["MSG|100 TRIALID 0", "START|101 |LEFT|EVENTS", "MSG|110 -8 SYNCTIME", fixation(120, 300, 300)]
        lines += ["MSG|390 -8 blank_screen", fixation(392, 440, 1), "END|450 |EVENTS"]
        lines += ["MSG|460 !V TRIAL_VAR picture a.png"]
        lines += ["MSG|500 TRIALID 1", "START|501 |LEFT|EVENTS", "MSG|510 -8 SYNCTIME", fixation(520, 700, 100)]
        lines += [fixation(710, 780, 110), "END|850 |EVENTS", "MSG|860 !V TRIAL_VAR picture b.png"]
        rows, result = run("eyelink_asc", asc(tmp_path / "s.asc", *lines), **({"until": until} if until else {}))
        assert [[row[0] for row in rows].count(name) for name in ("a.png", "b.png")] == inside
        assert rows[0] == ("a.png", 0.3, 0.5, 10, 180)
        assert ("1 of 4 fixations belong to no image" in result.warnings) == (sum(inside) == 3)

    def test_one_recording_of_several_trials(self, run, tmp_path: Path) -> None:
        lines = ["START|100 |LEFT|EVENTS"]
        for number, name in enumerate("ab"):
            time = 1000 * number + 1000
            lines += [f"MSG|{time} TRIALID {number}", fixation(time + 10, time + 200)]
            lines += [f"MSG|{time + 900} !V TRIAL_VAR x {name}.png"]
        rows, _ = run("eyelink_asc", asc(tmp_path / "s.asc", *lines))
        assert [(row[0], row[3]) for row in rows] == [("a.png", 10), ("b.png", 10)]

    @pytest.mark.parametrize("begin", ["TRIALID", "SYNCTIME"])
    def test_several_trials_named_after_their_gaze(self, run, tmp_path: Path, begin: str) -> None:
        lines = ["START|100 |LEFT|EVENTS"]
        for time, name in zip((1000, 2000, 3000), "abc", strict=True):
            lines += [f"MSG|{time} {begin}", fixation(time + 10, time + 200), f"MSG|{time + 900} !V IMGLOAD {name}.png"]
            lines += [f"MSG|{time + 910} TRIAL_RESULT 0"] if begin == "TRIALID" else []
        path = asc(tmp_path / "s.asc", *lines, "END|3950 |EVENTS")
        rows, result = run("eyelink_asc", path, name="message_at_end")
        assert [(row[0], row[3]) for row in rows] == [("a.png", 10), ("b.png", 10), ("c.png", 10)]
        assert not result.warnings
        path.write_text(path.read_text().replace("TRIAL_RESULT", "RESULT"))
        warnings = run("eyelink_asc", path)[1].warnings  # b is shown as a, c as b
        assert warnings[0].startswith("1 files may name each image after its gaze, since the last one has none")

    @pytest.mark.parametrize(
        "message",
        ["TOP_LEFT images/a.png 100 50 640 480", "CENTER images/a.png 420 290 640 480", "FILL Schräg.png"],
    )
    def test_message_tells_the_place(self, run, tmp_path: Path, message: str) -> None:
        name = message.split()[1].removeprefix("images/")  # in the encoding of Windows
        event = fixation(102, 300, 420, 290, duration=202)  # of the tracker
        path = asc(tmp_path / "s.asc", f"MSG|100 !V IMGLOAD {message}", "START|101 |LEFT", event)
        whole = (name, 0.42, 0.58, 2, 202)
        assert run("eyelink_asc", path, place=Place())[0] == [whole if "FILL" in message else (name, 0.5, 0.5, 2, 202)]
        assert run("eyelink_asc", path)[0] == [whole]  # what the user sets comes first

    def test_stamps_in_whole_milliseconds_at_2000_hz(self, run, tmp_path: Path) -> None:
        pytest.importorskip("pymovements")
        found = []
        for form in ("{:.1f}", "{:.0f}"):
            lines = ["MSG|95 TRIALID a.png", "START|100 |RIGHT|SAMPLES", "SAMPLES|GAZE|RIGHT|RATE|2000.00"]
            samples = (
                f"{form.format(100 + int(time) if '0f' in form else 100 + time)}|528.{int(2 * time) % 9}|374.0|887.0"
                for time in (number / 2 for number in range(60))
            )
            path = asc(tmp_path / "s.asc", *lines, *samples)
            found.append(run("eyelink_asc", path, found_by=detection(unit="px", dispersion=20, min_duration=10))[0])
        assert len(found[0]) == 1 and found[0] == found[1]

    def test_counts_no_time_twice_for_two_eyes(self, run, tmp_path: Path) -> None:
        events = [fixation(100, 696, duration=600), fixation(100, 436, 510, eye="R", duration=340)]
        events += [fixation(448, 696, 512, eye="R", duration=252)]
        rows, _ = run("eyelink_asc", asc(tmp_path / "s.asc", "MSG|95 TRIALID a.png", "START|100 |LEFT|RIGHT", *events))
        assert [row[4] for row in rows] == [600] and 0.5 < rows[0][1] < 0.512

    def test_fixation_ends_with_its_image(self, run, tmp_path: Path) -> None:
        lines = ["MSG|100 !V IMGLOAD CENTER ..\\my images\\CT 1.png 512 384", fixation(110, 500)]
        lines += ["MSG|400 !V IMGLOAD b.png", fixation(510, 600)]
        rows, _ = run("eyelink_asc", asc(tmp_path / "s.asc", *lines))
        assert [(row[0], row[4]) for row in rows] == [("CT 1.png", 290), ("b.png", 90)]

    @pytest.mark.parametrize(
        ("named", "images"),
        [
            ("TRIALID 3 CT 1.png", ["CT 1.png"]),
            ("TRIALID CT 1.PNG", ["CT 1.PNG"]),
            ("750 !V IMGLOAD CENTER a.png 500 250", ["a.png"]),  # sent 750 ms after the image appeared
        ],
    )
    def test_names_and_times_of_messages(self, run, tmp_path: Path, named: str, images: list[str]) -> None:
        lines = ["START|99 |LEFT|EVENTS", f"MSG|{1250 if named.startswith('750') else 500} {named}"]
        rows, _ = run("eyelink_asc", asc(tmp_path / "s.asc", *lines, fixation(520, 700), "END|1300"))
        assert [(row[0], row[3]) for row in rows] == [(name, 20) for name in images]

    def test_names_a_recording_without_end(self, run, tmp_path: Path) -> None:
        lines = ["MSG|95 TRIALID a.png", "START|100 |LEFT|EVENTS", fixation(120, 300)]
        _, result = run("eyelink_asc", asc(tmp_path / "s.asc", *lines))
        assert result.warnings == ["1 files have no END, so gaze at their end may be missing: s.asc"]

    def test_refuses_images_that_are_named_after_all_gaze_on_them(self, run, tmp_path: Path) -> None:
        lines = [
            "MSG|95 TRIALID 1",
            "START|100 |LEFT|EVENTS",
            fixation(120, 300),
            "MSG|310 !V IMGLOAD FILL a.png",
            "END|320",
        ]
        with pytest.raises(
            ValueError, match="none of 1 fixations is within the time of an image; check where and when"
        ):
            run("eyelink_asc", asc(tmp_path / "s.asc", *lines))

    def test_refuses_two_names_of_a_trial(self, run, tmp_path: Path) -> None:
        lines = ["MSG|100 TRIALID 0", "START|101 |LEFT|EVENTS", fixation(120, 300), "END|450 |EVENTS"]
        lines += ["MSG|460 !V TRIAL_VAR cross x.png", "MSG|460 !V TRIAL_VAR picture a.png"]
        path = asc(tmp_path / "s.asc", *lines)
        with pytest.raises(ValueError, match=r"a trial names two images, x\.png and a\.png; set format\.message"):
            run("eyelink_asc", path)
        assert run("eyelink_asc", path, message=r"TRIAL_VAR picture (\S+)")[0][0][0] == "a.png"

    @pytest.mark.parametrize("message", ["CENTER a.png 700 300", "TOP_LEFT a.png 400 100"])
    def test_native_size_at_the_place_of_the_message(self, run, dataset, tmp_path: Path, message: str) -> None:
        path = asc(tmp_path / "s.asc", f"MSG|100 !V IMGLOAD {message}", "START|101 |LEFT", fixation(102, 300, 550, 200))
        rows, result = run("eyelink_asc", path, place=Place(), dataset=dataset)  # 600 x 400 pixels
        assert rows == [("a.png", 0.25, 0.25, 2, 198)] and not result.warnings[1:]
        _, result = run("eyelink_asc", path, place=Place(fit="contain"), dataset=dataset)
        assert "1 images are placed without a size, as if shown pixel by pixel, but fit=contain" in result.warnings[-1]

    def test_events_and_samples_of_one_recording(self, run, tmp_path: Path) -> None:
        head = ["** CONVERTED FROM d:\\my data\\s1.edf using edfapi 4.2.1", "MSG|95 TRIALID a.png", "START|100 |RIGHT"]
        samples = ["SAMPLES|GAZE|RIGHT|RATE| 500.00", *(f"{100 + 2 * t}|528.0|250.0|887.0" for t in range(99))]
        (tmp_path / "s").mkdir()
        asc(tmp_path / "s" / "s1e.asc", *head, fixation(102, 300, eye="R"))
        asc(tmp_path / "s" / "s1s.asc", *head, *samples)
        rows, result = run("eyelink_asc", tmp_path / "s")
        assert len(rows) == 1 and "1 trials are in two exports; each counts once" in result.warnings
        asc(tmp_path / "s" / "s2s.asc", head[0].replace("s1", "s2"), *head[1:], *samples)
        assert list(run("eyelink_asc", tmp_path / "s")[1].failures) == ["s2s.asc"]  # another recording, in degrees
        (tmp_path / "s" / "s2s.asc").unlink()
        (tmp_path / "s" / "s1s.asc").rename(tmp_path / "s" / "first.asc")
        (tmp_path / "s" / "s1e.asc").rename(tmp_path / "s" / "later.asc")
        rows, result = run("eyelink_asc", tmp_path / "s")  # degrees, without the size of the screen
        assert len(rows) == 1 and list(result.failures) == ["first.asc"] and not result.warnings[1:]


class TestTobii:
    HEADER = "Recording timestamp [ms]|Sensor|Presented Stimulus name|Eye movement type|Gaze event duration [ms]"
    HEADER += "|Eye movement type index|Fixation point X [DACS px]|Fixation point Y [DACS px]\n"

    def test_fixation_over_two_images_counts_once(self, run, tmp_path: Path) -> None:
        lines = [(100, "a", 400, 1, 500), (300, "a", 400, 1, 500), (400, "b", 400, 1, 500), (510, "b", 100, 2, 700)]
        text = "".join(f"{t}|Eye Tracker|{image}|Fixation|{d}|{n}|{x}|250\n" for t, image, d, n, x in lines)
        rows, _ = run("tobii", table(tmp_path / "s.tsv", self.HEADER + text))
        assert [(row[0], row[1], row[4]) for row in rows] == [("a", 0.5, 300), ("b", 0.7, 100)]

    def test_counts_fixations_of_no_image(self, run, tmp_path: Path) -> None:
        lines = [(100, "a", 1, 500), (300, "", 2, 700), (600, "a", 3, 700)]
        text = "".join(f"{t}|Eye Tracker|{image}|Fixation|100|{n}|{x}|250\n" for t, image, n, x in lines)
        _, result = run("tobii", table(tmp_path / "s.tsv", self.HEADER + text))
        assert result.warnings == ["1 of 3 fixations belong to no image"]

    def test_trial_ends_with_the_participant(self, run, tmp_path: Path) -> None:
        header = self.HEADER.replace("Sensor", "Participant name")
        lines = [(100, "P1"), (5000, "P2")]
        text = "".join(f"{time}|{who}|a|Fixation|100|1|500|250\n" for time, who in lines)
        assert [row[3] for row in run("tobii", table(tmp_path / "s.tsv", header + text))[0]] == [0, 0]

    @pytest.mark.parametrize("unit", ["[DACS px]", "(DACSpx)"])  # of Pro Lab 24, and of Pro Lab 1
    def test_pro_lab(self, run, tmp_path: Path, unit: str) -> None:
        place = "Presented Media width|Presented Media height|Presented Media position X [DACS px]"
        header = f"{self.HEADER.strip()}|{place}|Presented Media position Y [DACS px]\n".replace("[DACS px]", unit)
        header = header.replace("Gaze event duration", "Eye movement event duration")
        first = "300|Eye Tracker|a|Fixation|100|2|960|540||||\n"  # without the place
        path = table(tmp_path / "s.tsv", header + first + "1080|Eye Tracker|a|Fixation|583|3|787|460|960|540|480|270\n")
        rows, _ = run("tobii", path, place=Place())
        place = pytest.approx(307 / 960, abs=1e-6), pytest.approx(190 / 540, abs=1e-6)
        assert rows == [("a", 0.5, 0.5, 0, 100), ("a", *place, 780, 583)]

    def test_microseconds_without_unit(self, run, tmp_path: Path) -> None:
        header = self.HEADER.replace(" [ms]", "").replace(" [DACS px]", "")
        lines = [(1051996474, 600, 1, 500), (1052016560, 600, 1, 500), (1052596474, 300, 2, 700)]
        text = "".join(f"{t}|Eye Tracker|a|Fixation|{d}|{n}|{x}|250\n" for t, d, n, x in lines)
        rows, _ = run("tobii", table(tmp_path / "s.tsv", header + text))
        assert [(row[3], row[4]) for row in rows] == [(0, 600), (600, 300)]

    STUDIO_3 = (
        "ParticipantName|RecordingResolution|MediaName|MediaPosX (ADCSpx)|MediaPosY (ADCSpx)|MediaWidth|MediaHeight"
        "|RecordingTimestamp|FixationIndex|GazeEventType|GazeEventDuration"
        "|FixationPointX (MCSpx)|FixationPointY (MCSpx)\n"
    ) + "".join(
        f"P1|1920 x 1080|a.png|30|77|1000|500|{time}|{number}|{kind}|{duration}|{x}|{y}\n"
        for time, number, kind, duration, x, y in [
            (5010, 1, "Fixation", 100, 250, 100),
            (5018, 1, "Fixation", 100, 250, 100),
            (5027, 1, "Fixation", 100, 250, 100),
            (5110, "", "Saccade", 42, "", ""),
        ]
    )

    def test_studio_3(self, run, tmp_path: Path) -> None:
        path = table(tmp_path / "s.tsv", self.STUDIO_3)
        assert run("tobii", path, place=Place())[0] == [("a.png", 0.25, 0.2, 0, 100)]
        names = {"image": "MediaName", "x": "FixationPointX", "y": "FixationPointY", "duration": "GazeEventDuration"}
        rows, _ = run("generic", path, columns=names)
        assert len(rows) == 2 and rows[0][4] == 100  # each fixation once; the other has no position

    def test_studio_2(self, run, tmp_path: Path) -> None:
        text = "Data properties:\n\nScreen resolution: 1280 x 1024\nCoordinate unit: Pixels\n\n"
        text += "FixationIndex|Timestamp|FixationDuration|MappedFixationPointX|MappedFixationPointY|\n"
        path = table(tmp_path / "a.tsv", text + "12|26|633|500|250|\n13|659|849|600|250|\n")
        rows, _ = run("tobii", path, name="file")
        assert rows == [("a", 0.5, 0.5, 0, 633), ("a", 0.6, 0.5, 633, 849)]
        assert importer("tobii", name="file").read(path).screen == (1280, 1024)


class TestPupil:
    def test_reads_only_the_last_of_two_exports(self, run, tmp_path: Path) -> None:
        text = "fixation_id,start_timestamp,duration,norm_pos_x,norm_pos_y\n18,9.972,80.104,0.8,0.9\n"
        for export, x in (("000", "0.7"), ("001", "0.8")):
            folder = tmp_path / "s1" / "exports" / export / "surfaces"
            folder.mkdir(parents=True)
            (folder / "fixations_on_surface_a.csv").write_text(text.replace("0.8", x))
        rows, result = run("pupil", tmp_path / "s1")
        assert [row[:2] for row in rows] == [("a", 0.8)]
        assert "repeat another export: exports/000/" in result.warnings[0]

    def test_image_without_a_fixation(self, run, tmp_path: Path) -> None:
        header = "fixation_id,start_timestamp,duration,norm_pos_x,norm_pos_y\n"
        for name, row in (("a", "18,9.972,80.104,0.8,0.9\n"), ("b", "")):
            (tmp_path / "s").mkdir(exist_ok=True)
            (tmp_path / "s" / f"fixations_on_surface_{name}.csv").write_text(header + row)
        rows, result = run("pupil", tmp_path / "s")
        assert [row[0] for row in rows] == ["a"] and not result.failures
        lacks = "1 files have no such column as format.columns.confidence=confidence: fixations_on_surface_a.csv"
        assert result.warnings == [lacks, "1 files have no row: fixations_on_surface_b.csv"]

    def test_cloud(self, run, tmp_path: Path) -> None:
        header = "section id,recording id,fixation id,start timestamp [ns],end timestamp [ns],duration [ms],"
        header += "fixation detected on surface,fixation x [normalized],fixation y [normalized]\n"
        (tmp_path / "a").mkdir()
        header += "s1,r1,253,1754690230422467946,1754690230547470946,125,true,0.25,0.75\n"
        header += "s1,r1,254,1754690230562592946,1754690230637592946,75,false,1.5,0.75\n"
        rows, _ = run("pupil_cloud", table(tmp_path / "a" / "fixations.csv", header))
        assert rows == [("a", 0.25, 0.75, 0, 125), ("a", 1.5, 0.75, pytest.approx(140.125, abs=0.001), 75)]


class TestOthers:
    @pytest.mark.parametrize("place", [Place(), FULL])  # on the screen, where its pixels have another size
    def test_reflacx(self, run, dataset, tmp_path: Path, place: Place) -> None:
        (tmp_path / "read" / "a").mkdir(parents=True)
        header = "timestamp_start_fixation,timestamp_end_fixation,x_position,y_position,pupil_area_normalized\n"
        path = table(tmp_path / "read" / "a" / "fixations.csv", header + "7.08,7.293,150.0,300.0,1.131\n")
        assert run("reflacx", path, place=place, dataset=dataset)[0] == [("a", 0.25, 0.75, 7080, 213)]

    def test_begaze_events(self, run, tmp_path: Path) -> None:
        text = "[BeGaze]\nVersion:|BeGaze 3.5.90\nStimulus:|a.png\n\nTable Header for Fixations:\n"
        text += "Event Type,Trial,Number,Start,End,Duration,Location X,Location Y,Plane\n\n"
        text += "Table Header for User Events:\nEvent Type,Trial,Number,Start,Description\n\n"
        text += "UserEvent,1,1,167531284088,# Message: a.png\nSaccade L,1,1,1,2,91654,815.24,692.39,1,2,3,4,5\n"
        events = "".join(f"Fixation {eye},1,1,167531377718,167531619504,241786,250.0,400.0,-1\n" for eye in "LR")
        assert run("smi", table(tmp_path / "s.txt", text + events))[0] == [("a.png", 0.25, 0.8, 0, 241.786)]

    @pytest.mark.parametrize(
        ("eyes", "eye", "x", "start", "duration"),
        [
            ("LR", "both", 0.255, 2, 238),  # the mean, and no time twice
            ("LR", "left", 0.25, 0, 240),
            ("LR", "right", 0.26, 4, 236),
            ("R", "both", 0.26, 0, 236),
            ("LRB", "both", 0.27, 6, 230),  # the tracker's own mean
        ],
    )
    def test_begaze_eyes(self, run, tmp_path: Path, eyes: str, eye: str, x: float, start: float, duration: int) -> None:
        text = "Subject:|S1\nStimulus:|a.png\n\nTable Header for Fixations:\n"
        text += "Event Type|Trial|Number|Start|End|Duration|Location X|Location Y\n\n"
        values = {"L": (0, 240, 250), "R": (4, 236, 260), "B": (6, 230, 270)}
        for name in eyes:
            at, lasts, where = values[name]
            span = f"{1000 * (at + 9)}|{1000 * (at + lasts + 9)}|{1000 * lasts}"
            text += f"Fixation {name}|1|1|{span}|{where}.0|250.0\n"
        rows, _ = run("smi", table(tmp_path / "s.txt", text), eye=eye)
        assert rows == [("a.png", x, 0.5, start, duration)]
        with pytest.raises(ValueError, match=r"no data of the left eye; set format\.eye=right"):
            run("smi", table(tmp_path / "s.txt", text.replace("Fixation L", "Blink L")), eye="left")

    def test_samples_of_two_eyes(self, tmp_path: Path) -> None:
        header = "Time|Type|Stimulus|L POR X [px]|L POR Y [px]|R POR X [px]|R POR Y [px]\n"
        text = (
            f"{header}1000|SMP|a|500.0|250.0|510.0|260.0\n5000|SMP|a|0.0|0.0|510.0|260.0\n9000|SMP|a|0.0|0.0|0.0|0.0\n"
        )
        (trial,) = importer("smi").read(table(tmp_path / "s.txt", text)).trials
        assert [str(x) for x in trial.x] == ["505.0", "510.0", "nan"]  # 0, 0 is a lost eye
        (trial,) = importer("smi", eye="left").read(tmp_path / "s.txt").trials
        assert [str(x) for x in trial.x] == ["500.0", "nan", "nan"]
        (tmp_path / "s.csv").write_text("image,x,y,duration\na,100,200,250\n")
        with pytest.raises(ValueError, match="no columns of the left eye alone"):
            importer("generic", eye="left").read(tmp_path / "s.csv")
        left = {"x": None, "y": None, "x_left": "x", "y_left": "y"}
        assert importer("generic", columns=left).read(tmp_path / "s.csv").trials[0].x == [100]

    def test_data_viewer(self, run, tmp_path: Path) -> None:
        text = "RECORDING_SESSION_LABEL|TRIAL_INDEX|CURRENT_FIX_START|CURRENT_FIX_END|CURRENT_FIX_DURATION"
        text += "|CURRENT_FIX_X|CURRENT_FIX_Y|CURRENT_FIX_PUPIL|image\n"
        text += "s1|1|0|200|201|500.0|250.0|900|a.png\ns1|1|230|400|171|.|.|900|a.png\n"
        text += "s2|1|0|99|100|250.0|250.0|.|a.png\n"
        rows, _ = run("data_viewer", table(tmp_path / "s.xls", text))
        assert [(row[1], row[3], row[4]) for row in rows][::2] == [(0.5, 0, 201), (0.25, 0, 100)]
        assert [line.rsplit(",", 1)[1] for line in (tmp_path / "out.csv").read_text().split()[1:]] == ["s1", "s1", "s2"]

    def test_begaze_messages_name_images(self, run, tmp_path: Path) -> None:
        text = "[iView]\n\nTable Header for Fixations:\n"
        text += "Event Type|Trial|Number|Start|End|Duration|Location X|Location Y\n\n"
        for number, name in enumerate("ab"):
            start = 1_000_000 * number
            text += f"UserEvent|1|1|{start}|# Message: {name}.png\n"
            text += f"Fixation L|1|{number}|{start + 9000}|{start + 209000}|200000|250.0|400.0\n"
        rows, _ = run("smi", table(tmp_path / "s.txt", text))
        assert [(row[0], row[4]) for row in rows] == [("a.png", 200), ("b.png", 200)]

    def test_iview_samples(self, tmp_path: Path) -> None:
        text = "## [iView]\n## Sample Rate:|250\n"
        text += "Time|Type|Trial|L POR X [px]|L POR Y [px]|R POR X [px]|R POR Y [px]|Stimulus\n"
        text += "70590724309|MSG|1|# Message: a.bmp\n"
        text += "70590726108|SMP|1|858.16|516.11|859.16|517.11|a.bmp\n"
        text += "70590730097|SMP|1|844.17|517.15|845.17|518.15|a.bmp\n"
        (trial,) = importer("smi").read(table(tmp_path / "s.txt", text)).trials
        assert trial.duration is None and trial.image == "a.bmp"
        assert trial.x.tolist() == pytest.approx([858.66, 844.67]) and trial.start.tolist() == pytest.approx([0, 3.989])

    def test_gazepoint(self, imported: Import, tmp_path: Path) -> None:
        text = "MEDIA_ID,MEDIA_NAME,CNT,TIME(2020/03/09 10:11:12.123),"
        text += "FPOGX,FPOGY,FPOGS,FPOGD,FPOGID,FPOGV,BPOGX,BPOGY,BPOGV,USER\n"
        for place, name in enumerate("aaaabbbb"):  # the fixation goes on when the image changes, at 5.4 s
            text += f"0,{name}.png,{place},{5 + place / 10},0.5{place},0.25,5.0,{place / 10},7,1,0.5,0.25,1,{place}\n"
        text += "0,b.png,9,5.9,0.25,0.25,5.9,0.2,8,1,0.25,0.25,1,go\n"
        rows, _ = imported("gazepoint", table(tmp_path / "s.csv", text), place=Place(0, 0, 1920, 1080))
        assert rows == [("a.png", 0.57, 0.25, 0, 400), ("b.png", 0.25, 0.25, 500, 200)]

    def test_jspsych_of_several_participants(self, tmp_path: Path) -> None:
        box = {"top": 50, "bottom": 650, "left": 100, "right": 900}  # of version 6; later ones have the size too
        gaze = [{"x": 288, "y": 138, "t": 998}, {"x": 298, "y": 134, "t": 1020}]
        item = {"stimulus": "<img src='a%20b.PNG'>", "webgazer_data": gaze, "webgazer_targets": {"#image": box}}
        later = {"x": 100, "y": 50, "width": 800, "height": 600, **box}
        later = {"stimulus": "img/a.png", "subject": 7, "webgazer_data": gaze, "webgazer_targets": {"#image": later}}
        (tmp_path / "s.json").write_text(f"{json.dumps([{'stimulus': '<p>x</p>'}, item])}\n{json.dumps([later])}\n")
        first, second = importer("jspsych").read(tmp_path / "s.json").trials
        assert (first.image, second.image) == ("a b.PNG", "img/a.png")
        assert first.rectangle == second.rectangle == (100, 50, 800, 600) and first.x.tolist() == [288, 298]
        assert (first.observer, second.observer) == ("s 1", "7")
        hidden = {**later, "webgazer_targets": {"#image": dict.fromkeys(box, 0)}}
        (tmp_path / "s.json").write_text(json.dumps([hidden]))
        assert importer("jspsych").read(tmp_path / "s.json").trials[0].rectangle is None

    @pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"stimulus": "a.png", "webgazer_data": [{"x": 1}]}]', "[]"])
    def test_invalid_json(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "s.json").write_text(content)
        with pytest.raises(ValueError, match=r"s\.json: "):
            importer("jspsych").read(tmp_path / "s.json")

    @pytest.mark.parametrize(("clock", "onset"), [("trial", 0), ("device", 1000)])
    def test_numbers_may_count_from_one_in_each_trial(self, run, tmp_path: Path, clock: str, onset: int) -> None:
        text = "image,x,y,t,duration,n\na,100,200,0,200,1\na,200,200,250,300,2\n"
        text += f"b,300,200,{onset},200,1\nc,300,200,{2 * onset},200,1\n"  # b and c: the same place and duration
        path = table(tmp_path / "s.csv", text)
        expected = [("a", 0.1), ("a", 0.2), ("b", 0.3), ("c", 0.3)]
        for number in ("n", None):
            rows, _ = run("generic", path, columns={"start": "t", "fixation": number}, clock=clock)
            assert [row[:2] for row in rows] == expected

    def test_refuses_two_readers_with_the_same_numbers(self, run, tmp_path: Path) -> None:
        text = "image,reader,x,y,t,duration,n\na,1,100,200,0,200,1\na,1,200,200,250,300,2\n"
        path = table(tmp_path / "s.csv", f"{text}a,2,700,200,0,250,1\na,2,800,200,300,200,2\n")
        columns = {"start": "t", "fixation": "n"}
        with pytest.raises(ValueError, match=r"rows repeat them or mix .*; set .*format\.columns\.observer"):
            run("generic", path, columns=columns)
        assert len(run("generic", path, columns={**columns, "observer": "reader"})[0]) == 4

    def test_windows_encoding_and_an_upper_case_suffix(self, run, tmp_path: Path) -> None:
        text = "image;x;y;t;duration\nSchräg.png;200;200;500;250\nSchräg.png;100;200;0;250\n"
        (tmp_path / "S.CSV").write_bytes(text.encode("cp1252"))
        assert find_recordings(tmp_path, ["*.csv"], tmp_path / "out.csv")[0] == [tmp_path / "S.CSV"]
        rows, _ = run("generic", tmp_path / "S.CSV", columns={"start": "t"})
        assert [(row[0], row[3]) for row in rows] == [("Schräg.png", 0), ("Schräg.png", 500)]  # by time

    @pytest.mark.parametrize(("unit", "columns"), [("mm", {}), ("DACS mm", {"x": "x (DACS mm)", "y": "y (DACS mm)"})])
    def test_refuses_lengths(self, run, tmp_path: Path, unit: str, columns: dict) -> None:
        path = table(tmp_path / "s.csv", f"image,x ({unit}),y ({unit}),duration\na,500,125,200\n")
        with pytest.raises(ValueError, match=r"x \(.*mm\) and y \(.*mm\) are not both in pixels or both in fractions"):
            run("generic", path, columns=columns)
        path.write_text(path.read_text().replace(unit, "pixels"))
        assert run("generic", path)[0][0][:3] == ("a", 0.5, 0.25)

    @pytest.mark.parametrize(("x", "what"), [(640, "$"), (64, ", or percent, which must be divided by 100$")])
    def test_refuses_pixels_and_percents_as_fractions(self, run, tmp_path: Path, x: int, what: str) -> None:
        path = table(tmp_path / "s.csv", f"image,x,y,duration\na,{x},50,200\n")
        with pytest.raises(ValueError, match=rf"above 1, so they are pixels \(.*px .*, image_px .* the image\){what}"):
            run("generic", path, unit="fraction")

    def test_refuses_rows_inside_quotation_marks(self, run, tmp_path: Path) -> None:
        text = 'image|x|y|t|duration|note\na|1|1|0|200|"two\nlines"\na|2|2|300|200|"\na|3|3|600|200|"\n'
        with pytest.raises(ValueError, match=r"s\.csv: line 4: a quotation mark without a partner joins it with"):
            run("generic", table(tmp_path / "s.csv", text), columns={"start": "t"})
        assert (
            len(run("generic", table(tmp_path / "s.csv", text.replace('|"\n', "|\n")), columns={"start": "t"})[0]) == 3
        )

    @pytest.mark.parametrize(
        ("rows", "keys", "message"),
        [
            ("a,1,1,0,0.25\na,2,2,1,0.3\n", {}, "median fixation lasts .* format.duration_unit"),
            (
                "a,1,1,0,200\na,2,2,8,200\na,3,3,16,200\n",
                {},
                "set format.columns.fixation, format.columns.observer or format.trial_columns",
            ),
            ("a,1,1,0,200\na,2,2,230000,200\na,3,3,450000,200\n", {}, "only .* of the time of their trial"),
            ("a,-9,1,0,200\na,9,2,230,200\n", {}, "negative, so they do not count from the top left"),
            ("a,1,1,0,\na,2,2,2000,\n", {"duration": None}, "2000 ms apart; check format.time_unit"),
            (
                "a,1,1,300,\na,2,2,8,\na,3,3,700,\n",
                {"duration": None},
                "the time goes back within the trial of a; sort its rows by time, or set format.trial_columns",
            ),
        ],
    )
    def test_refuses_impossible_times(self, run, tmp_path: Path, rows: str, keys: dict, message: str) -> None:
        path = table(tmp_path / "s.csv", f"image,x,y,t,duration\n{rows}")
        with pytest.raises(ValueError, match=message):
            run("generic", path, columns={"start": "t", **keys})
