"""What one writes in half an hour: a reranker behind FastAPI and transformers.

    python benchmarks/naive_server.py HUGGINGFACE_DIR TOKEN_ID PORT

`benchmarks/serving.py` runs it. A request is one batch, padded to its longest document; requests
that come together are scored by threads at the same time. Needs `pip install fastapi uvicorn`.
"""

import sys

import fastapi
import pydantic
import torch
import transformers
import uvicorn

MAX_LENGTH = 512


class Body(pydantic.BaseModel):
    """A request."""

    query: str
    documents: list[str]


def make_app(folder: str, token_id: int) -> fastapi.FastAPI:
    """The application, its model loaded."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.T5ForConditionalGeneration.from_pretrained(folder).eval()
    app = fastapi.FastAPI()

    @app.get("/ready")
    def ready() -> dict:
        return {"status": "ok"}

    @app.get("/health")
    async def health() -> dict:
        return {"status": "ok"}

    @app.post("/rerank")
    def rerank(body: Body) -> dict:
        texts = [f"Query: {body.query} Document: {document}" for document in body.documents]
        inputs = tokenizer(
            texts, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt"
        )
        start = torch.zeros((len(texts), 1), dtype=torch.long)
        with torch.no_grad():
            logits = model(**inputs, decoder_input_ids=start).logits[:, 0, token_id]
        order = sorted(enumerate(logits.tolist()), key=lambda item: -item[1])
        return {"results": [{"index": i, "relevance_score": score} for i, score in order]}

    return app


if __name__ == "__main__":
    torch.set_num_threads(1)
    application = make_app(sys.argv[1], int(sys.argv[2]))
    uvicorn.run(application, port=int(sys.argv[3]), log_level="warning")
