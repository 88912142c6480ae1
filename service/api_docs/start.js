/** The documentation of the API, drawn by Swagger UI (version 5.35.0, Apache-2.0) without any other address. */
SwaggerUIBundle({ url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });
