"""Rule of suggested recipes: their expressions compile, and what the simulator gives can be mapped."""

from typing import Final

from trunkline.kit.checking import ALWAYS
from trunkline.kit.copying import Copy
from trunkline.kit.suite import Bench, ExemptError, FailedError, many, must, rule
from trunkline.recipes.definition import SourceField
from trunkline.recipes.evaluator import Evaluator
from trunkline.recipes.mapper import RecipeMapper
from trunkline.recipes.results import Failed, Mapped
from trunkline.recipes.service import definition_of
from trunkline.recipes.target import built_in_models

SHARE: Final = 0.1
"""Of a stream's records that may fail: any customer has odd values; more is the recipe's mistake."""


@rule("mapping", "What is read can be mapped by every recipe that is suggested")
async def mapping(bench: Bench) -> str:
    suggested = bench.manifest.recipes
    if not suggested:
        raise ExemptError("the manifest suggests no recipe")
    harness, _, connected = await bench.connected()
    copies: dict[str, Copy] = {}
    count, vain = 0, []
    async with Evaluator() as evaluator:
        mapper = RecipeMapper(evaluator)
        for one in suggested:
            spec, model = bench.manifest.stream(one.stream), built_in_models().get(one.model)
            if spec is None or model is None:
                raise FailedError(f"{one.key}: there is no stream {one.stream}, or no model {one.model}.")
            definition = definition_of(one)
            fields = [SourceField(name, name) for name in (*spec.field_names, *ALWAYS)]
            wrong = await mapper.validate(definition, fields, model)
            must(not wrong, f"{one.key}: " + " ".join(error.message for error in wrong[:3]))
            if spec.name not in copies:
                copies[spec.name] = Copy(harness, connected, spec)
                await copies[spec.name].run()
            documents = list(copies[spec.name].documents().values())
            results = await mapper.map(definition, model, documents)
            failed = [result for result in results if isinstance(result, Failed)]
            if len(failed) > SHARE * len(results):
                of = f"{len(failed)} of {many(len(results), 'record')}"
                raise FailedError(f"{one.key}: {of} cannot be mapped: {failed[0].errors[0].message}")
            made = [result.data for result in results if isinstance(result, Mapped)]
            count += len(made)
            vain += [
                f"{one.key}.{target.target}"
                for target in definition.mappings
                if made and all(data.get(target.target) in (None, "") for data in made)
            ]
    said = f"{many(count, 'record')} by {many(len(suggested), 'recipe')}"
    return f"{said}; always empty: {', '.join(vain[:3])}{' …' if len(vain) > 3 else ''}" if vain else said
