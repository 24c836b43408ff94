"""Tokens in the ordinary admin: made there, with their secret shown once, and revoked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_variables

from stockandflow.admin.readonly import ModelAdmin
from stockandflow.exceptions import InvalidInput
from stockandflow.models import ApiToken
from stockandflow.models.tokens import checked_paths


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's own takes none
    """What a new token is made of; a superuser may have it act for another user, everybody else for themselves."""

    for_user = forms.CharField(
        label=gettext_lazy("Acts for"),
        required=False,
        help_text=gettext_lazy("A user name; you, where it is empty."),
    )

    class Meta:
        model = ApiToken
        fields = ("name", "paths", "expires_at")
        help_texts = {
            "paths": gettext_lazy(
                "What it is for, one path on each line, with all that is below it: api/v1, "
                "api/v1/processes/membership, feeds/membership, metrics."
            )
        }

    maker: Any
    """The user who makes it, set by the admin."""

    def clean_paths(self) -> str:
        try:
            return "\n".join(checked_paths(self.cleaned_data["paths"].splitlines()))
        except InvalidInput as error:
            raise forms.ValidationError(str(error)) from error

    def clean_for_user(self) -> Any:
        given = self.cleaned_data["for_user"].strip()
        if given in ("", self.maker.get_username()):
            return self.maker
        if not self.maker.is_superuser:
            raise forms.ValidationError("You can make tokens for yourself alone; a superuser can for others.")
        model = get_user_model()
        user = model._default_manager.filter(**{model.USERNAME_FIELD: given}).first()
        if user is None:
            raise forms.ValidationError(f"There is no user {given!r}.")
        return user


@admin.register(ApiToken)
class ApiTokenAdmin(ModelAdmin):
    """The tokens, latest first: who uses them for what, and when last. One that was made can only be revoked."""

    form = TokenForm
    list_display = ("name", "acts_for", "paths", "created_at", "last_used_at", "expires_at", "revoked_at")
    search_fields = ("name",)
    actions = ("revoke",)
    fields = ("name", "for_user", "paths", "expires_at")
    show_full_result_count = False

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.maker = request.user
        return form

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj is None else self.list_display

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else self.list_display

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return super().has_change_permission(request)

    @sensitive_variables("secret")
    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        given = form.cleaned_data
        token, secret = ApiToken.objects.issue(
            given["name"],
            given["for_user"],
            given["paths"].splitlines(),
            expires_at=given["expires_at"],
        )
        obj.__dict__.update(token.__dict__)
        obj.secret = secret

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        """The one page that shows the secret. It isn't told by a message, which a cookie could carry."""
        context = {
            **self.admin_site.each_context(request),
            "title": _("The token %(name)s") % {"name": obj.name},
            "opts": self.opts,
            "token": obj,
            "secret": obj.secret,
        }
        return TemplateResponse(request, "stockandflow/admin/token.html", context)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        token = super().get_object(request, object_id, from_field)
        if token is not None:
            _name_users([token])
        return token

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """As Django's, with the names of the users. One query more."""
        changelist = super().get_changelist_instance(request)
        _name_users(changelist.result_list)
        return changelist

    @admin.display(description=gettext_lazy("acts for"), ordering="user_key")
    def acts_for(self, token: Any) -> str:
        return str(token.username)

    @admin.action(permissions=["revoke"], description=gettext_lazy("Revoke the chosen tokens"))
    def revoke(self, request: HttpRequest, tokens: QuerySet[ApiToken]) -> None:
        revoked = tokens.filter(revoked_at__isnull=True).update(revoked_at=timezone.now())
        self.message_user(
            request, _("Revoked: %(number)s. Whoever shows one from now on is refused.") % {"number": revoked}
        )


def _name_users(tokens: Iterable[Any]) -> None:
    """Tell each token the name of the user for whom it acts. One query."""
    model = get_user_model()
    users = model._default_manager.filter(pk__in={token.user_key for token in tokens})
    names = {str(user.pk): user.get_username() for user in users}
    for token in tokens:
        token.username = names.get(token.user_key, _("#%(key)s (gone)") % {"key": token.user_key})
