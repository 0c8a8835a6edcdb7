"""What packing leaves out is told by folder."""

from fer.data.left_out import MAX_LINES, left_out_lines


def test_a_folder_is_one_line_with_its_number_and_single_files_are_named():
    rejected = [("a.txt", "not a picture"), *((f"train/Suprize/{n}.png", "odd") for n in range(40))]
    assert left_out_lines(rejected) == ["train/Suprize: 40 files (0.png, …): odd", "a.txt: not a picture"]


def test_reasons_of_one_folder_are_apart_and_many_folders_end_in_a_sum():
    assert len(left_out_lines([("a/1.png", "x"), ("a/2.png", "y")])) == 2
    lines = left_out_lines((f"{n}/{k}.png", "odd") for n in range(MAX_LINES + 3) for k in range(2))
    assert len(lines) == MAX_LINES + 1
    assert lines[-1].startswith("6 more in 3 groups")
    assert left_out_lines([]) == []
