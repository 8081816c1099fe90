"""The sandbox host: simulators under one roof, their control pages, and a demo product."""
