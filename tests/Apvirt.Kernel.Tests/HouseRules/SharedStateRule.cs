using System.CodeDom.Compiler;
using System.Collections;
using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;
using System.Text;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Sharing;

namespace Apvirt.Kernel.Tests.HouseRules;

/// <summary>
/// The rule that shared state has four forms and no fifth (DESIGN R1): what two tasks can reach announces each access by itself.
/// It is read from the assemblies, so that no field escapes. That only one task reaches a field cannot be read: who says so, says
/// why (<see cref="OwnedByAttribute"/>).
/// </summary>
internal static class SharedStateRule
{
    internal const string Forms =
        "the forms are: readonly and immutable; a synchronisation object of Apvirt.Kernel; Guarded<T>; "
        + "Shared<T>, RefCount, SharedMap, SharedTable, SharedList or SharedState<T>; else [OwnedBy(\"who has it\")]";

    private const BindingFlags Declared = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

    private static readonly string[] ReadOnlyNames = ["IReadOnly", "ReadOnly", "Frozen", "IFrozen", "Immutable", "IImmutable"];

    // Forms that are values: the field is the state, so that a copy of it would be another one.
    private static readonly Type[] ValueForms = [typeof(Shared<>), typeof(Guarded<>), typeof(RefCount), typeof(ListLink<>)];

    // No collections, yet made to change.
    private static readonly Type[] MadeToChange =
    [
        typeof(StringBuilder), typeof(Random), typeof(Lock), typeof(SemaphoreSlim), typeof(CancellationTokenSource), typeof(ITimer), typeof(Timer),
        typeof(TaskCompletionSource), typeof(TaskCompletionSource<>), typeof(StrongBox<>), typeof(WeakReference<>), typeof(Memory<>), typeof(Stream),
    ];

    // What only the forms themselves may use.
    private static readonly Type[] Synchronising = [typeof(Interlocked), typeof(Volatile), typeof(Monitor), typeof(Lock)];

    /// <summary>The fields that can change, or hold what can, and are of none of the forms.</summary>
    internal static IEnumerable<string> Formless(IEnumerable<Type> types) =>
        from type in types
        where !IsGenerated(type) && !type.IsByRefLike && !type.IsEnum && !type.IsSubclassOf(typeof(Delegate)) && !IsOwned(type)
        from field in type.GetFields(Declared | BindingFlags.Instance)
        where !IsOwned(field)
        let why = WhyFormless(field)
        where why is not null
        select $"{type.FullName}.{NameOf(field)} {why}";

    /// <summary>Words that are too large to be read and written at once.</summary>
    internal static IEnumerable<string> TornWords(IEnumerable<Type> types) =>
        from type in types
        from field in type.GetFields(Declared | BindingFlags.Instance | BindingFlags.Static)
        let word = WordOf(field.FieldType)
        where word is not null && !IsOneWord(word)
        select $"{type.FullName}.{NameOf(field)} is a Shared<{word.Name}>, expected a reference, a number of at most 8 bytes, a truth value or an enumeration";

    /// <summary>What synchronises past the forms.</summary>
    internal static IEnumerable<string> Bypasses(IReadOnlyCollection<Type> types)
    {
        IEnumerable<string> fields =
            from type in types
            from field in type.GetFields(Declared | BindingFlags.Instance | BindingFlags.Static)
            where field.FieldType == typeof(Lock) || field.GetRequiredCustomModifiers().Contains(typeof(IsVolatile))
            select $"{type.FullName}.{NameOf(field)} is {(field.FieldType == typeof(Lock) ? "a Lock" : "volatile")}; {Forms}";
        IEnumerable<string> calls =
            from type in types
            from method in IlReader.MethodsOf(type)
            from instruction in IlReader.Instructions(method)
            let owner = instruction.Member as Type ?? instruction.Member?.DeclaringType
            let used = Synchronising.FirstOrDefault(forbidden => owner == forbidden || owner?.DeclaringType == forbidden)
            where used is not null
            select $"{type.FullName}.{method.Name} uses {used.FullName}; {Forms}";
        return fields.Concat(calls).Distinct();
    }

    /// <summary>Descriptors of fields without a lock that stand in no table, and names that two of them have.</summary>
    internal static IEnumerable<string> Undocumented(IReadOnlyCollection<Type> types)
    {
        HashSet<SharedField> tables = [.. types
            .Where(type => type.Name.EndsWith("Fields", StringComparison.Ordinal))
            .Select(type => type.GetProperty("All", Declared | BindingFlags.Static)?.GetValue(null))
            .OfType<IEnumerable<SharedField>>()
            .SelectMany(all => all)];
        IEnumerable<string> outside =
            from type in types
            where !type.ContainsGenericParameters
            from field in type.GetFields(Declared | BindingFlags.Static)
            where field.FieldType == typeof(SharedField) && !tables.Contains((SharedField)field.GetValue(null)!)
            select $"{type.FullName}.{NameOf(field)} is in no table: it belongs to All of a class …Fields";
        IEnumerable<string> twice =
            from field in tables
            group field by field.Field into named
            where named.Count() > 1
            select $"{named.Key}: {named.Count()} fields have this name";
        return outside.Concat(twice);
    }

    private static string? WhyFormless(FieldInfo field)
    {
        if (IsValueForm(field.FieldType))
        {
            return field.IsInitOnly ? "is a form but readonly, so that what writes it writes a copy"
                : PropertyOf(field) is not null ? "is a form but a property, which gives a copy"
                : null;
        }
        if (!field.IsInitOnly && !IsParameterOnlyRead(field))
            return $"can be assigned; {Forms}";
        return CanChange(field.FieldType) ? $"holds a {field.FieldType.Name}, which can change; {Forms}" : null;
    }

    private static bool CanChange(Type type)
    {
        if (type.IsArray)
            return !IsValueForm(type.GetElementType()!);
        if (type.Assembly.GetName().Name!.StartsWith("Apvirt.", StringComparison.Ordinal))
            return false;
        bool isCollection = type.IsAssignableTo(typeof(IEnumerable)) && type != typeof(string);
        bool isReadOnly = ReadOnlyNames.Any(name => type.Name.StartsWith(name, StringComparison.Ordinal));
        Type definition = DefinitionOf(type);
        return (isCollection && !isReadOnly) || MadeToChange.Any(made => definition == made || type.IsSubclassOf(made));
    }

    private static bool IsValueForm(Type type) => ValueForms.Contains(DefinitionOf(type));

    private static Type DefinitionOf(Type type) => type.IsGenericType ? type.GetGenericTypeDefinition() : type;

    // A parameter of a primary constructor that methods use is a field, which the language cannot make readonly.
    private static bool IsParameterOnlyRead(FieldInfo field)
    {
        if (!field.Name.StartsWith('<') || !field.Name.EndsWith(">P", StringComparison.Ordinal))
            return false;
        IEnumerable<Type> users = [field.DeclaringType!, .. NestedIn(field.DeclaringType!)];
        return !users.SelectMany(IlReader.MethodsOf).Any(method =>
            !method.IsConstructor
            && IlReader.Instructions(method).Any(i =>
                (i.Code == OpCodes.Stfld || i.Code == OpCodes.Ldflda) && i.Member is FieldInfo used && used.MetadataToken == field.MetadataToken
                && used.Module == field.Module && (i.Code == OpCodes.Stfld || !field.FieldType.IsValueType)));
    }

    private static IEnumerable<Type> NestedIn(Type type) =>
        type.GetNestedTypes(BindingFlags.Public | BindingFlags.NonPublic).SelectMany(nested => NestedIn(nested).Prepend(nested));

    private static Type? WordOf(Type type)
    {
        Type inner = type.IsArray ? type.GetElementType()! : type;
        return DefinitionOf(inner) == typeof(Shared<>) ? inner.GetGenericArguments()[0] : null;
    }

    private static bool IsOneWord(Type type) =>
        type.IsGenericParameter
            ? type.GenericParameterAttributes.HasFlag(GenericParameterAttributes.ReferenceTypeConstraint)
            : !type.IsValueType || type.IsEnum || type.IsPrimitive;

    private static bool IsOwned(Type type) => type.IsDefined(typeof(OwnedByAttribute), inherit: false);

    private static bool IsOwned(FieldInfo field) =>
        field.IsDefined(typeof(OwnedByAttribute), inherit: false)
        || PropertyOf(field)?.IsDefined(typeof(OwnedByAttribute), inherit: false) == true;

    // The property that the compiler made a field for.
    private static PropertyInfo? PropertyOf(FieldInfo field)
    {
        int end = field.Name.IndexOf(">k__BackingField", StringComparison.Ordinal);
        return end < 0 ? null : field.DeclaringType!.GetProperty(field.Name[1..end], Declared | BindingFlags.Instance);
    }

    private static string NameOf(FieldInfo field) => PropertyOf(field)?.Name ?? field.Name;

    private static bool IsGenerated(Type type) =>
        type.IsDefined(typeof(CompilerGeneratedAttribute), inherit: false)
        || type.IsDefined(typeof(GeneratedCodeAttribute), inherit: false)
        || (type.DeclaringType is { } outer && IsGenerated(outer));
}
