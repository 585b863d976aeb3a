"""Stored agent definitions."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from agent_executor.agent import definition
from agent_executor.api.context import Context
from agent_executor.errors import ApiError
from agent_executor.records import Agent, AgentPage, AgentRequest

router = APIRouter(prefix="/api/agents", tags=["agents"])


@router.post("", status_code=201)
async def add_agent(request: AgentRequest, services: Context) -> Agent:
    """Store an agent definition that can be built."""
    definition.parse(request.definition)
    agent = await services.store.add_agent(request)
    if agent is None:
        raise ApiError(409, "name_taken", f"an agent named '{request.name}' exists already", name=request.name)
    return agent


@router.get("")
async def list_agents(
    services: Context,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> AgentPage:
    """One page of agents, newest first."""
    items, total = await services.store.list_agents(limit=limit, offset=offset)
    return AgentPage(items=items, total=total, limit=limit, offset=offset)


@router.get("/{agent_id}")
async def get_agent(agent_id: UUID, services: Context) -> Agent:
    """One agent."""
    agent = await services.store.get_agent(agent_id)
    if agent is None:
        raise ApiError(404, "agent_not_found", f"there is no agent {agent_id}", agent_id=str(agent_id))
    return agent


@router.delete("/{agent_id}", status_code=204)
async def delete_agent(agent_id: UUID, services: Context) -> None:
    """Forget an agent. Jobs that were handed in with it have their own copy of its definition."""
    if not await services.store.delete_agent(agent_id):
        raise ApiError(404, "agent_not_found", f"there is no agent {agent_id}", agent_id=str(agent_id))
