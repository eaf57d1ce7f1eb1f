# The notebooks in JupyterLab, with all packages set up; README.md says how to build and run it.
FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /vg
COPY . .
ENV UV_NO_CACHE=1
RUN make .venv/.ready
EXPOSE 8888
CMD ["make", "lab", "ARGS=--ip=0.0.0.0 --no-browser"]
