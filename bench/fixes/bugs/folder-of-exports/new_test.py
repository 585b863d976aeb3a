from shop.exports import write


def test_the_first_export_of_a_year(tmp_path):
    assert write(tmp_path, "2026-11", [(1, 20)]).read_text() == "1;20\n"
