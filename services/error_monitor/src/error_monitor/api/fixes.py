"""The routes of fixes: those that were generated, one with its proof, and one that is asked for."""

from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from error_monitor.api.access import ApiError, bearer, no_pattern, of, reader, router

reading, writing = router(reader), router(bearer)


class Asked(BaseModel):
    """The pattern that is to be fixed."""

    model_config = {"extra": "forbid"}
    fingerprint: str = Field(pattern=r"^v\d{1,4}:[0-9a-f]{8,64}$")


@reading.get("/fixes/generated")
async def generated(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    fingerprint: Annotated[str | None, Query(max_length=80, pattern=r"^[\w:]*$")] = None,
) -> dict[str, Any]:
    """Every fix, refused ones too, the newest first; with the budget and the precision."""
    monitor = of(request)
    questions = monitor.fixer.ladder.questions
    rows, total = await questions.fixes(limit, offset, fingerprint)
    found = await questions.overview(monitor.settings.fixes.budget)
    return {"total": total, "limit": limit, "offset": offset, "fixes": rows, **found}


@reading.get("/fixes/{fix_id}")
async def one(request: Request, fix_id: int) -> dict[str, Any]:
    """One fix: what each rung said, the test and the patch, and the runs that prove it."""
    found = await of(request).fixer.ladder.questions.fix(fix_id) if 0 < fix_id < 2**63 else None
    if found is None:
        raise ApiError(404, "fix_not_found", "there is no such fix", fix_id=fix_id)
    return found


@writing.post("/fixes/generate")
async def generate(request: Request, asked: Asked) -> JSONResponse:
    """Try a fix in the background. It is a dry run unless AUTO_FIX_ENABLED is true: nothing asked here changes that."""
    fixer = of(request).fixer
    try:
        fix_id, goes_on = await fixer.generate(asked.fingerprint)
    except LookupError as exc:
        raise no_pattern(asked.fingerprint) from exc
    fix = await fixer.ladder.questions.fix(fix_id)
    assert fix is not None
    told = {"fix_id": fix_id, "state": fix["state"], "rung": fix["rung"], "reason": fix["reason"]}
    return JSONResponse(told, 202 if goes_on else 200)
