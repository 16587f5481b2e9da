"""The second half of the afternoon: what is said about pictures, selections, albums, copies, and what is passed on."""

from __future__ import annotations

from tests.web.browser.afternoon import Afternoon, Task
from tests.web.browser.conftest import names, settled, until, wait_for_pictures

TAG, MANY_TAG, ALBUM, SEARCH = "sunday", "afternoon", "Best of all", "Birds among them"
IS_PICKED = "() => document.querySelector(\".cell[data-rank='{}'].picked\")"


def makes_it_a_favourite(day: Afternoon) -> None:
    if day.keys:
        day.keys.press("b")
    elif day.finger:
        day.finger.tap(".details .edit-switches button[title*='(b)']")
    day.told("Added to favourites")
    assert day.labels(day.opened).is_favourite


def rates(day: Afternoon) -> None:
    if day.keys:
        day.keys.press("4")
    elif day.finger:
        day.finger.tap(".details .star[aria-label='4 stars']")
    day.told("Rated ★★★★")
    assert day.labels(day.opened).rating == 4


def writes_a_caption(day: Afternoon) -> None:
    day.page.wait_for_selector(".details .star[aria-label='4 stars'][aria-pressed='true']")
    if day.keys:
        day.keys.reach(".edit-caption")
        day.keys.write("Seen from the window")
        day.keys.press("Control+Enter")
    elif day.finger:
        day.finger.write(".edit-caption", "Seen from the window")
        day.finger.tap("#viewer-name")
    day.told("Caption saved")
    assert [one.text for one in day.labels(day.opened).captions] == ["Seen from the window"]


def tags(day: Afternoon) -> None:
    if day.keys:
        day.keys.reach(".details [placeholder='Add a tag']")
        day.keys.write(TAG)
        day.keys.press("Enter")
    elif day.finger:
        day.finger.write(".details [placeholder='Add a tag']", TAG)
        day.finger.tap(".details .edit-form button[aria-label='Add a tag']")
    day.told(f"Tag “{TAG}” added")
    assert TAG in {tag.text for tag in day.labels(day.opened).tags}


def undoes_and_makes_again(day: Afternoon) -> None:
    if day.keys:
        day.keys.press("Escape", "Control+z")
    elif day.finger:
        day.finger.tap(f".toast:has-text('{TAG}') button.button")
    day.told("Undone")
    assert TAG not in {tag.text for tag in day.labels(day.opened).tags}
    if day.keys:
        day.keys.press("Control+Shift+z")
    elif day.finger:
        day.finger.tap(".toast:has-text('Undone') button.button")
    day.told("Made again")
    assert TAG in {tag.text for tag in day.labels(day.opened).tags}


def asks_for_more_and_less(day: Afternoon) -> None:
    page, more = day.page, day.ids(1)[0]
    if day.keys:
        day.keys.press("Home")
        day.keys.lands_on(".cell[data-rank='1'] a.tile")
        day.keys.press("m")
    elif day.finger:
        day.finger.tap(".cell[data-rank='1'] a.tile", "#viewer [aria-label^='More like']")
    day.url_has(f"more={more}")
    settled(page)
    if day.keys:
        day.lists()
        day.keys.lands_on("a.tile")
        day.keys.press("End")
        day.keys.lands_on("a.tile:not([tabindex='-1'])")
        day.keys.press("l")
    elif day.finger:
        before = page.inner_text("#viewer-name")
        day.finger.tap("#viewer .strip-row [aria-current] + button")
        until(page, "name => document.querySelector('#viewer-name').textContent !== name", argument=before)
        day.finger.tap("#viewer [aria-label^='Less like']")
    day.url_has("less=")
    if day.finger:
        day.finger.tap("#viewer [aria-label^='Close']")
    page.wait_for_selector(".chip.less")
    day.lists()


def removes_a_chip(day: Afternoon) -> None:
    if day.keys:
        day.keys.use(".chip.less .chip-off", back=True)
    elif day.finger:
        day.finger.tap(".chip.less .chip-off")
    until(day.page, "() => !location.search.includes('less=') && location.search.includes('more=')")
    day.lists()


def selects_three(day: Afternoon) -> None:
    if day.keys:
        day.keys.press("ArrowRight")
        day.keys.lands_on("a.tile")
        day.keys.press("Home")
        for rank in (1, 2, 3):
            day.keys.lands_on(f".cell[data-rank='{rank}'] a.tile")
            day.keys.press("x", "ArrowRight")
    elif day.finger:
        day.finger.hold(".cell[data-rank='1'] a.tile", IS_PICKED.format(1))
        day.finger.tap(*(f".cell[data-rank='{rank}'] a.tile" for rank in (2, 3)))
    day.picked(1, 2, 3)


def selects_a_range(day: Afternoon) -> None:
    if day.keys:
        day.keys.press("Escape", "Home")
        day.keys.lands_on(".cell[data-rank='1'] a.tile")
        for rank in (2, 3, 4, 5):
            day.keys.press("Shift+ArrowRight")
            day.keys.lands_on(f".cell[data-rank='{rank}'] a.tile")
    elif day.finger:
        day.finger.tap("#selection-bar [aria-label='Clear selection']")
        until(day.page, "() => !document.querySelector('.picked')")
        day.finger.hold(".cell[data-rank='1'] a.tile", IS_PICKED.format(1))
        day.finger.hold(".cell[data-rank='5'] a.tile", IS_PICKED.format(5))
    day.picked(1, 2, 3, 4, 5)


def tags_all_of_them(day: Afternoon) -> None:
    field, ids = "#selection-bar [placeholder='Add a tag']", day.ids(5)
    if day.keys:
        day.keys.use("#selection-bar button[title='Edit']")
        day.keys.lands_on(".edit-many button")
        day.keys.reach(field)
        day.keys.write(MANY_TAG)
        day.keys.press("Enter")
    elif day.finger:
        day.finger.tap("#selection-bar button[title='Edit']")
        day.finger.write(field, MANY_TAG)
        day.finger.tap("#selection-bar .edit-form button[aria-label='Add a tag']")
    day.told(f"Tag “{MANY_TAG}” added to 5 pictures")
    assert all(MANY_TAG in {tag.text for tag in day.labels(id_).tags} for id_ in ids)


def puts_them_into_a_new_album(day: Afternoon) -> None:
    field, ids = "#selection-bar [placeholder='Add to an album']", day.ids(5)
    if day.keys:
        day.keys.reach(field)
        day.keys.write(ALBUM)
        day.keys.press("Enter")
    elif day.finger:
        day.finger.write(field, ALBUM)
        day.finger.tap("#selection-bar .edit-form button[aria-label='Add to an album']")
    day.told(f"Album “{ALBUM}” made")
    assert all(day.labels(id_).albums == [ALBUM] for id_ in ids)


def hides_finds_and_shows(day: Afternoon) -> None:
    page = day.page
    if day.keys:
        day.keys.press("Escape", "Escape", "Escape")
    elif day.finger:
        day.finger.tap("#selection-bar [aria-label='Clear selection']")
    page.wait_for_selector("#selection-bar", state="hidden")
    if day.keys:
        day.keys.press("ArrowRight")
        day.keys.lands_on("a.tile")
    hidden = str(page.evaluate("() => document.activeElement.dataset.id") if day.keys else day.ids(1)[0])
    turn_hidden(day, hidden)
    day.told("Picture hidden")
    until(page, "id => !document.querySelector(`.cell[data-id='${id}']`)", argument=hidden)
    more, box = "#filters .facet[data-facet='More'] > summary", "#filters input[name='hidden']"
    if day.keys:
        day.keys.press("g", "h")
    elif day.finger:
        day.finger.tap("#filters-button", more, box, ".filters-done")
    day.url_has("hidden=true")
    assert [str(hit["id"]) for hit in day.lists(total=1)] == [hidden]
    if day.keys:
        day.keys.press("ArrowRight")
        day.keys.lands_on("a.tile")
    turn_hidden(day, hidden)
    day.told("Picture shown again")
    assert day.api(f"images/{hidden}")["hidden"] is False


def turn_hidden(day: Afternoon, id_: str) -> None:
    """Hide a picture, or show it again."""
    if day.keys:
        day.keys.press("h")
    elif day.finger:
        day.finger.tap(f".cell[data-id='{id_}'] a.tile")
        day.finger.tap(".details .edit-switches button[title*='(h)']", "#viewer [aria-label^='Close']")
        day.viewer_is_closed()


def opens_the_album(day: Afternoon) -> None:
    day.goes_to_view("albums")
    if day.keys:
        day.keys.use(".album-link")
    elif day.finger:
        day.finger.tap(".album-link")
    day.page.wait_for_selector(f".chip:has-text('{ALBUM}')")
    day.lists(total=5)


def saves_the_search(day: Afternoon) -> None:
    page, option = day.page, "#suggestions [role=option]:has-text('Save this search')"
    if day.keys:
        day.keys.go_to_box()
        day.keys.write("a bird")
        page.wait_for_selector(option)
        day.keys.press("ArrowUp", "Enter")
        day.keys.lands_on(".suggest-save input")
        day.keys.write(SEARCH)
        day.keys.press("Enter")
        day.keys.lands_on("#q")
    elif day.finger:
        day.finger.write("#q", "a bird")
        day.finger.tap(option)
        page.wait_for_selector(".suggest-save input:focus")
        page.keyboard.type(SEARCH)
        day.finger.tap(".suggest-save button")
    day.told(f"Album “{SEARCH}” made")
    albums = {album["name"]: album["kind"] for album in day.api("albums")["albums"]}
    assert albums == {ALBUM: "pictures", SEARCH: "search"}


def passes_the_address_on(day: Afternoon) -> None:
    page, button = day.page, "#bar [aria-label='Copy the address']"
    day.lists()
    if day.keys:
        day.keys.press("ArrowDown")  # out of the search box
        day.keys.lands_on("a.tile")
        day.keys.press("C")
    elif day.finger:
        day.finger.tap(button)
    day.told("Address copied")
    address = page.evaluate("() => navigator.clipboard.readText()")
    assert address == page.url
    other = day.open_page(address)
    wait_for_pictures(other)
    assert names(other, 3) == names(page, 3)


def compares_two_copies(day: Afternoon) -> None:
    page = day.page
    day.goes_to_view("duplicates")
    if day.keys:
        day.keys.use(".member-choice .member")
    elif day.finger:
        day.finger.tap(".member-choice .member")
    page.wait_for_selector("dialog.compare[open]")
    assert "byte for byte the same" in page.inner_text(".pair-facts")
    if day.keys:
        day.keys.press("Escape")
    elif day.finger:
        day.finger.tap("dialog.compare [aria-label^='Close']")
    page.wait_for_selector("dialog.compare", state="hidden")


def trashes_a_copy_and_takes_it_back(day: Afternoon) -> None:
    folder = day.photos / "animals"
    before = sorted(path.name for path in folder.iterdir())
    if day.keys:
        day.keys.use(".group-acts button")
    elif day.finger:
        day.finger.tap(".group-acts button")
    day.told("1 copy moved to the trash")
    assert len(list(folder.iterdir())) == len(before) - 1
    if day.keys:
        day.keys.press("Control+z")
    elif day.finger:
        day.finger.tap(".toast:has-text('moved to the trash') button.button")
    day.told("Undone")
    assert sorted(path.name for path in folder.iterdir()) == before


LABELLING: list[tuple[str, Task]] = [
    ("Make it a favourite", makes_it_a_favourite),
    ("Rate it", rates),
    ("Write a caption", writes_a_caption),
    ("Tag it", tags),
    ("Undo, and make again", undoes_and_makes_again),
]
MANY: list[tuple[str, Task]] = [
    ("More like this one, less like that one", asks_for_more_and_less),
    ("Remove a condition", removes_a_chip),
    ("Select three pictures", selects_three),
    ("Select a range of five instead", selects_a_range),
    ("Tag all that are selected", tags_all_of_them),
    ("Put them into a new album", puts_them_into_a_new_album),
    ("Hide a picture, find it, show it again", hides_finds_and_shows),
    ("Open the album", opens_the_album),
    ("Save a search", saves_the_search),
    ("Pass on the address of the list", passes_the_address_on),
    ("Compare two copies", compares_two_copies),
    ("Move a copy to the trash, and back", trashes_a_copy_and_takes_it_back),
]
