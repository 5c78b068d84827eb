"""/admin/teams: made, listed, changed, forgotten."""

from admin.office import Office


def test_a_team_is_made_listed_changed_and_forgotten(office: Office) -> None:
    reply = office.send(
        "POST", "/admin/teams", {"name": "search", "models": ["tiny"], "budget_per_month": "5.00"}
    )
    made = reply.json
    path = f"/admin/teams/{made['id']}"
    assert (reply.status, reply.headers["location"]) == (201, path)
    assert office.get(path).json == made
    assert office.get("/admin/teams").json["data"] == [made]
    changed = office.send("PATCH", path, {"models": [], "tokens_per_minute": 7}).json
    assert changed == {**made, "models": [], "tokens_per_minute": 7}
    assert office.send("DELETE", path).json["deleted"] is True
    assert office.get(path).status == 404
    lines = office.get("/admin/audit", what="team").json["data"]
    assert [one["what"] for one in lines] == ["team.delete", "team.change", "team.create"]


def test_a_name_is_had_by_one_team_only(office: Office) -> None:
    office.send("POST", "/admin/teams", {"name": "search"})
    reply = office.send("POST", "/admin/teams", {"name": "search"})
    assert (reply.status, reply.error["param"]) == (400, "name")


def test_the_same_request_again_makes_no_second_team(office: Office) -> None:
    headers = {"Idempotency-Key": "one"}
    first = office.send("POST", "/admin/teams", {"name": "search"}, headers=headers)
    again = office.send("POST", "/admin/teams", {"name": "search"}, headers=headers)
    assert (first.status, again.status) == (201, 200)
    assert first.json == again.json
    other = office.send("POST", "/admin/teams", {"name": "other"}, headers=headers)
    assert other.status == 409


def test_a_team_with_a_live_key_is_not_forgotten(office: Office) -> None:
    team = office.send("POST", "/admin/teams", {"name": "search"}).json
    key = office.make(team="search")
    assert (key["team"], key["team_name"]) == (team["id"], "search")
    reply = office.send("DELETE", f"/admin/teams/{team['id']}")
    assert reply.status == 400
    assert "live key" in reply.error["message"]
    office.send("DELETE", f"/admin/keys/{key['id']}")
    assert office.send("DELETE", f"/admin/teams/{team['id']}").status == 200
    assert office.get(f"/admin/keys/{key['id']}").json["team"] is None


def test_pages_lead_through_all_teams_by_name(office: Office) -> None:
    names = ["b", "a", "Ω", "c", "d"]
    for name in names:
        office.send("POST", "/admin/teams", {"name": name})
    found, cursor = [], ""
    while cursor is not None:
        page = office.get("/admin/teams", limit=2, cursor=cursor).json
        found += [one["name"] for one in page["data"]]
        cursor = page["next_cursor"]
    assert found == sorted(names)
    assert [one["name"] for one in office.get("/admin/teams", search="ω").json["data"]] == ["Ω"]
    assert office.get("/admin/teams", name="' OR 1=1 --").json["data"] == []
