using System.CodeDom.Compiler;
using System.Collections;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text;

namespace Apvirt.Kernel.Tests.HouseRules;

/// <summary>
/// The rule that nothing static can change: a thousand hosts in one process, and a run that can be repeated, need it.
/// It is read from the assemblies, where no way of writing a field escapes.
/// </summary>
internal static class StaticState
{
    private const BindingFlags Declared = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

    private static readonly string[] ReadOnlyNames = ["IReadOnly", "ReadOnly", "Frozen", "Immutable"];

    // Private tables in arrays that are only read. Such a field stands here by name, so that somebody looked.
    private static readonly string[] ArraysOnlyRead = ["Apvirt.Ap.Bus.BusAttributes.FeatureNames", "Apvirt.Devices.Events.UeventAttribute.Actions"];

    // No collections, yet made to change. A plain object is a lock.
    private static readonly Type[] MadeToChange = [typeof(object), typeof(Lock), typeof(Random), typeof(SemaphoreSlim), typeof(StringBuilder)];

    /// <summary>The static fields that can change, or that hold what can.</summary>
    internal static IEnumerable<string> In(IEnumerable<Type> types) =>
        from type in types
        where !IsGenerated(type)
        from field in type.GetFields(Declared | BindingFlags.Static)
        where !field.IsLiteral && !IsArrayOnlyRead(field)
        let complaint = field.IsInitOnly ? WhyItCanChange(field.FieldType, []) : "can be assigned"
        where complaint is not null
        select $"{type.FullName}.{field.Name} {complaint}";

    private static bool IsGenerated(Type type) =>
        type.IsDefined(typeof(CompilerGeneratedAttribute), inherit: false)
        || type.IsDefined(typeof(GeneratedCodeAttribute), inherit: false)
        || (type.DeclaringType is { } outer && IsGenerated(outer));

    private static bool IsArrayOnlyRead(FieldInfo field) =>
        field is { IsInitOnly: true, IsPrivate: true, FieldType.IsArray: true } && ArraysOnlyRead.Contains($"{field.DeclaringType}.{field.Name}");

    private static string? WhyItCanChange(Type type, HashSet<Type> seen)
    {
        bool isOurs = type.Assembly.GetName().Name!.StartsWith("Apvirt.", StringComparison.Ordinal);
        if (isOurs)
            return type.IsClass && seen.Add(type) ? WhyOurClassCanChange(type, seen) : null;
        bool isCollection = type.IsAssignableTo(typeof(IEnumerable)) && type != typeof(string);
        bool isReadOnly = ReadOnlyNames.Any(name => type.Name.StartsWith(name, StringComparison.Ordinal));
        return (isCollection && !isReadOnly) || MadeToChange.Contains(type) ? $"holds a {type.Name}, which can change" : null;
    }

    // What a private collection of our own class holds is that class's business; that no field is assigned again is not.
    private static string? WhyOurClassCanChange(Type type, HashSet<Type> seen)
    {
        FieldInfo[] fields = type.GetFields(Declared | BindingFlags.Instance);
        if (type.IsSubclassOf(typeof(Delegate)))
            return null;
        if (fields.FirstOrDefault(field => !field.IsInitOnly) is { } assigned)
            return $"holds a {type.Name}, whose {assigned.Name} can be assigned";
        return fields
            .Select(field => field.FieldType)
            .Append(type.BaseType ?? typeof(ValueType))
            .Where(part => part.Assembly == type.Assembly)
            .Select(part => WhyItCanChange(part, seen))
            .FirstOrDefault(why => why is not null);
    }
}
